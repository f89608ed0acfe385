"""The other side of `benches/local_chat.rs`: the same work with llama-cpp-python.

Usage: llama_cpp_python.py MODEL.gguf CONTEXT_TOKENS ANSWER_TOKENS THREADS
Reads a line of JSON for each answer wanted and writes a line of JSON with its speed.
Needs `pip install llama-cpp-python` (builds llama.cpp from source).
"""

import json
import sys
import time

from llama_cpp import Llama

path, context, answer_tokens, threads = sys.argv[1], *map(int, sys.argv[2:5])
model = Llama(
    path,
    n_ctx=context,
    n_threads=threads,
    n_threads_batch=threads,
    n_gpu_layers=0,
    verbose=False,
)

for line in sys.stdin:
    asked = json.loads(line)
    # ChatML, as the model's own template writes it.
    prompt = (
        f"<|im_start|>system\n{asked['system']}<|im_end|>\n"
        f"<|im_start|>user\n{asked['question']}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    began = time.perf_counter()
    tokens = model.tokenize(prompt.encode(), add_bos=True, special=True)
    first = None
    written = 0
    for token in model.generate(tokens, temp=0.0, repeat_penalty=1.0):
        written += 1
        if first is None:
            first = time.perf_counter() - began
        if token == model.token_eos() or written >= answer_tokens:
            break
        model.detokenize([token])
    rest = time.perf_counter() - began - first
    print(
        json.dumps(
            {
                "first_ms": first * 1e3,
                "tokens_per_second": (written - 1) / rest,
                "prompt_tokens": len(tokens),
                "answer_tokens": written,
            }
        ),
        flush=True,
    )
