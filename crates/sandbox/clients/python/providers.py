"""Asks the sandbox with the providers' own packages: providers.py STEP [FILE].

Prints what came as one line of JSON. Where the sandbox is and which key it takes is in the
environment, under the names of Talkback's own settings.
"""

import json
import math
import os
import struct
import sys
import threading

import assemblyai as aai
import openai
from assemblyai.streaming import v3

RATE = 16_000


def setting(name):
    return os.environ[name]


def at_host(url):
    """AssemblyAI's package appends /v1 itself."""
    return url.removesuffix("/v1")


def speech(milliseconds):
    """Something loud enough to be taken for speech: two tones, 16 bit."""
    samples = (
        int(9_000 * (math.sin(n * 0.12) + math.sin(n * 0.31)))
        for n in range(RATE * milliseconds // 1_000)
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def silence(milliseconds):
    return bytes(2 * RATE * milliseconds // 1_000)


def prerecorded(path):
    config = aai.TranscriptionConfig(
        speech_models=["assemblyai-stt-3-7", "universal-2"], language_detection=True
    )
    heard = aai.Transcriber(config=config).transcribe(path)
    deleted = aai.Transcript.delete_by_id(heard.id)
    return {
        "status": heard.status.value,
        "text": heard.text,
        "words": len(heard.words),
        "model": heard.speech_model_used,
        "deleted": deleted.text,
    }


def refused(path):
    """A model that is no more, and the singular field."""
    told = []
    for config in (
        aai.TranscriptionConfig(speech_models=["universal-3-pro"]),
        aai.TranscriptionConfig(speech_model=aai.SpeechModel.best),
    ):
        try:
            aai.Transcriber(config=config).transcribe(path)
        except aai.TranscriptError as error:
            told.append(str(error))
    return {"told": told}


def sync():
    with aai.SyncTranscriber() as transcriber:
        config = aai.SyncTranscriptionConfig(
            sample_rate=RATE,
            channels=1,
            timestamps=True,
            language_codes=["en"],
            keyterms_prompt=["Talkback"],
            conversation_context=["Good morning."],
        )
        heard = transcriber.transcribe(speech(1_000), config)
        pieces = (speech(100) for _ in range(12))
        live = transcriber.transcribe_live(pieces, config)
        try:
            transcriber.transcribe(speech(20), config)
            code = None
        except aai.SyncTranscriptError as error:
            code = error.error_code
    return {
        "text": heard.text,
        "ms": heard.audio_duration_ms,
        "timed": heard.words[0].end is not None,
        "live": live.text,
        "live_ms": live.audio_duration_ms,
        "code": code,
    }


def streaming():
    over = threading.Event()
    seen = {"turns": [], "errors": [], "seconds": None}

    def turned(_, turn):
        if turn.end_of_turn:
            seen["turns"].append(turn.transcript)
            over.set()

    def failed(_, error):
        seen["errors"].append(str(error))
        over.set()

    def ended(_, event):
        seen["seconds"] = event.audio_duration_seconds

    client = v3.StreamingClient(
        v3.StreamingClientOptions(
            api_key=setting("ASSEMBLYAI_API_KEY"), api_host=setting("ASSEMBLYAI_STREAMING_URL")
        )
    )
    client.on(v3.StreamingEvents.Turn, turned)
    client.on(v3.StreamingEvents.Error, failed)
    client.on(v3.StreamingEvents.Termination, ended)
    client.connect(
        v3.StreamingParameters(
            sample_rate=RATE,
            encoding=v3.Encoding.pcm_s16le,
            speech_model=v3.SpeechModel.universal_3_6_pro,
            language_codes=["en", "de"],
            format_turns=True,
            agent_context="Who is there?",
        )
    )
    audio = speech(2_000) + silence(2_000)
    piece = 2 * RATE // 10
    client.stream(audio[at : at + piece] for at in range(0, len(audio), piece))
    over.wait(20)
    client.disconnect(terminate=True)
    return seen


def gateway():
    llm = aai.LLMGateway()
    ask = {
        "model": "claude-haiku-4-5-20251001",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 100,
    }
    whole = llm.chat.completions.create(**ask)
    pieces = [
        choice.delta.content or ""
        for chunk in llm.chat.completions.create(**ask, stream=True)
        for choice in chunk.choices
    ]
    try:
        llm.chat.completions.create(**{**ask, "model": "none"})
        errors = None
    except aai.LLMGatewayError as error:
        errors = error.errors
    # The documentation shows OpenAI's own package against it.
    theirs = openai.OpenAI(
        base_url=setting("ASSEMBLYAI_LLM_GATEWAY_URL"), api_key=setting("ASSEMBLYAI_API_KEY")
    )
    return {
        "models": [model.id for model in llm.models.list().data],
        "text": whole.choices[0].message.content,
        "tokens": whole.usage.input_tokens == whole.usage.prompt_tokens,
        "streamed": "".join(pieces),
        "errors": errors,
        "openai": theirs.chat.completions.create(**ask).choices[0].message.content,
    }


def chat():
    llm = openai.OpenAI(base_url=setting("OPENAI_BASE_URL"), api_key=setting("OPENAI_API_KEY"))
    ask = {"model": "sandbox-1", "messages": [{"role": "user", "content": "Hello?"}]}
    whole = llm.chat.completions.create(**ask)
    pieces, usage = [], None
    for chunk in llm.chat.completions.create(
        **ask, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        pieces += [choice.delta.content or "" for choice in chunk.choices]
    older = llm.completions.create(model="sandbox-1", prompt="Hello?")
    return {
        "models": [model.id for model in llm.models.list().data],
        "text": whole.choices[0].message.content,
        "streamed": "".join(pieces),
        "usage": usage is not None,
        "completion": older.choices[0].text.strip(),
    }


def main():
    aai.settings.api_key = setting("ASSEMBLYAI_API_KEY")
    aai.settings.base_url = setting("ASSEMBLYAI_API_URL")
    aai.settings.sync_base_url = setting("ASSEMBLYAI_SYNC_URL")
    aai.settings.llm_gateway_base_url = at_host(setting("ASSEMBLYAI_LLM_GATEWAY_URL"))
    aai.settings.polling_interval = 0.05
    steps = {
        step.__name__: step
        for step in (prerecorded, refused, sync, streaming, gateway, chat)
    }
    step, *arguments = sys.argv[1:]
    print(json.dumps(steps[step](*arguments)))


main()
