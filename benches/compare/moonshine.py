#!/usr/bin/env python3
"""The vendor's own package, `moonshine-voice`, at the same work, for benches/local_speech.rs.

Reads one path of a WAV file (mono, 16 bit, 16 kHz) a line from standard input and answers each
with a line of JSON: {"seconds": time of the recognition alone, "text": what was heard}.

The package comes into a virtual environment in the temporary folder, made at the first run.
MOONSHINE_PYTHON names a Python that has it already.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
import wave

PACKAGE = "moonshine-voice==0.1.0"


def become_a_python_with_the_package():
    python = os.environ.get("MOONSHINE_PYTHON")
    if python is None:
        folder = os.path.join(tempfile.gettempdir(), "talkback-bench-moonshine")
        python = os.path.join(folder, "bin", "python")
        done = os.path.join(folder, "ready")
        if not os.path.exists(done):
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            install = [python, "-m", "pip", "install", "--quiet", PACKAGE]
            subprocess.run(install, check=True, stdout=sys.stderr)
            open(done, "w").close()
    os.execv(python, [python, os.path.abspath(__file__), "--ready"])


def read(path):
    with wave.open(path, "rb") as file:
        shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        assert shape == (1, 2, 16000), shape
        frames = file.readframes(file.getnframes())
    samples = memoryview(frames).cast("h")
    return (ctypes.c_float * len(samples))(*[sample / 32768 for sample in samples])


def main():
    import moonshine_voice
    from moonshine_voice import moonshine_api
    from moonshine_voice.errors import check_error
    from moonshine_voice.transcriber import Transcriber

    folder = os.path.join(os.path.dirname(moonshine_voice.__file__), "assets", "tiny-en")
    # Naming the speakers is further work that we don't do, and so is copying the audio back.
    options = {"identify_speakers": "false", "return_audio_data": "false"}
    transcriber = Transcriber(folder, moonshine_api.ModelArch.TINY, options=options)
    audio = {}
    for line in sys.stdin:
        path = line.rstrip("\n")
        if path not in audio:
            audio[path] = read(path)
        samples = audio[path]
        out = ctypes.POINTER(moonshine_api.TranscriptC)()
        begin = time.perf_counter()
        # The call under `transcribe_without_streaming`, without Python's own copying around it.
        error = transcriber._lib.moonshine_transcribe_without_streaming(
            transcriber._handle, samples, len(samples), 16000, 0, ctypes.byref(out)
        )
        seconds = time.perf_counter() - begin
        check_error(error)
        lines = transcriber._parse_transcript(out).lines
        text = " ".join(line.text.strip() for line in lines)
        print(json.dumps({"seconds": seconds, "text": text}), flush=True)


if __name__ == "__main__":
    if "--ready" in sys.argv:
        main()
    else:
        become_a_python_with_the_package()
