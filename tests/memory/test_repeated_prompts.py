"""What agents say again and again does not drown what people said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.memory.chats import DAY_US, NOW_US, Memories, WordEmbedder, assistant, running, user

QUESTION = "What is the name of my dog and when does he need his medicine?"
FACT = "My dog is called Rex, and he gets his medicine at seven."
RULES = (
    "You manage the household of a person with a dog. Always ask for the name of the dog and "
    "when it needs its medicine. Never guess the name of a dog, never change a medicine. "
) * 12
REMINDER = f"<system-reminder>\n{RULES}\n</system-reminder>\n"
MANY = 500


async def fill(memories: Memories, said: list[str]) -> None:
    """Store each as a conversation of its own, and the fact among them."""
    place = len(said) // 3
    for number, text in enumerate([*said[:place], FACT, *said[place:]]):
        day = NOW_US + number * DAY_US // 24
        await memories.say(f"c{number}", [user(text)], assistant("Done."), at_us=day)


@pytest.mark.parametrize(
    "said",
    [
        [RULES] * MANY,
        [f"{RULES}\nTask {number}: water the plants." for number in range(MANY)],
        [f"{REMINDER}Water plant {number}, please." for number in range(MANY)],
    ],
    ids=["the same prompt", "a prompt with its task", "a reminder"],
)
@pytest.mark.parametrize("meaning", [False, True], ids=["words", "both"])
async def test_a_prompt_of_agents_does_not_drown_a_person(
    tmp_path: Path, said: list[str], meaning: bool
) -> None:
    async with running(tmp_path, WordEmbedder() if meaning else None) as memories:
        await fill(memories, said)
        if meaning:
            await memories.indexed()
        assert FACT in (await memories.found(QUESTION, limit=3))
