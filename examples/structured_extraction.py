"""Facts out of sentences, as objects of a class: the reply can be nothing but JSON that fits the class's schema.

    pip install openai pydantic
    honed serve smollm2
    python examples/structured_extraction.py "Ada Lovelace was born in London in 1815."

Several texts are asked at once; the server runs them together, and the order is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from openai import AsyncOpenAI, OpenAIError
from pydantic import BaseModel, Field

TEXTS = [
    "Ada Lovelace was born in London in 1815 and wrote about the Analytical Engine.",
    "In 1903 Marie Curie, who worked in Paris, won the Nobel Prize in Physics.",
    "Alan Turing was born in 1912 in Maida Vale.",
]


class Person(BaseModel):
    """What is to be found. The names and types are what the model is held to."""

    name: str = Field(max_length=60)
    place: str = Field(max_length=60)
    year: int = Field(ge=1000, le=2100)


async def main() -> None:
    """Asks about each text and prints a line of JSON for it."""
    parser = argparse.ArgumentParser(description="Extract people from texts.")
    parser.add_argument("texts", nargs="*", default=TEXTS)
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--model", help="default: the first that the server has")
    given = parser.parse_args()

    client = AsyncOpenAI(base_url=given.url, api_key=os.environ.get("OPENAI_API_KEY", "none"))
    try:
        model = given.model or (await client.models.list()).data[0].id
        people = await asyncio.gather(*(extract(client, model, text) for text in given.texts))
    except OpenAIError as error:
        sys.exit(f"{given.url}: {error}")
    for person in people:
        print(person.model_dump_json())


async def extract(client: AsyncOpenAI, model: str, text: str) -> Person:
    """One text to one object."""
    answer = await client.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "Extract the person, the place and the year as JSON."},
            {"role": "user", "content": text},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "person", "strict": True, "schema": Person.model_json_schema()},
        },
        temperature=0,
        max_tokens=200,
    )
    return Person.model_validate_json(answer.choices[0].message.content or "")


if __name__ == "__main__":
    asyncio.run(main())
