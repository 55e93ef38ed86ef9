"""A chat on the terminal with a served model: what is said so far goes with each turn, the reply is shown as it comes.

    pip install openai
    honed serve smollm2
    python examples/chat_client.py

Every server with OpenAI's API will do: --url says where it is, OPENAI_API_KEY is its key.
"""

from __future__ import annotations

import argparse
import os
import sys

from openai import OpenAI, OpenAIError


def main() -> None:
    """Turn by turn, until the end of the input."""
    parser = argparse.ArgumentParser(description="Chat with a served model.")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", help="default: the first that the server has")
    parser.add_argument("--system", default="You are a helpful assistant. Answer briefly.")
    parser.add_argument("--max-tokens", type=int, default=256)
    given = parser.parse_args()

    client = OpenAI(base_url=given.url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    try:
        model = given.model or next(iter(client.models.list())).id
    except OpenAIError as error:
        sys.exit(f"{given.url}: {error}")
    messages = [{"role": "system", "content": given.system}]
    print(f"{model} at {given.url}; Ctrl-D ends")
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if text.strip():
            messages.append({"role": "user", "content": text})
            try:
                messages.append({"role": "assistant", "content": reply(client, model, messages, given.max_tokens)})
            except OpenAIError as error:
                print(f"no reply: {error}", file=sys.stderr)
                messages.pop()


def reply(client: OpenAI, model: str, messages: list, max_tokens: int) -> str:
    """Prints a reply piece by piece, and what it took; Ctrl-C ends it, and what came so far counts."""
    pieces: list[str] = []
    stream = client.chat.completions.create(
        model=model,
        messages=messages,
        temperature=0.7,
        top_p=0.9,
        max_tokens=max_tokens,
        stream=True,
        stream_options={"include_usage": True},
    )
    try:
        for chunk in stream:
            for choice in chunk.choices:
                pieces.append(choice.delta.content or "")
                print(pieces[-1], end="", flush=True)
            if chunk.usage:
                details = chunk.usage.prompt_tokens_details
                cached = details.cached_tokens if details else 0
                print(
                    f"\n[{chunk.usage.prompt_tokens} prompt tokens, {cached} of them cached; "
                    f"{chunk.usage.completion_tokens} new]"
                )
    except KeyboardInterrupt:
        print(" (stopped)")
    finally:
        stream.close()
    return "".join(pieces)


if __name__ == "__main__":
    main()
