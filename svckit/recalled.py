"""The marks around what lair recalls into a prompt, so that it is known wherever it turns up.

memory_svc writes the block and the router puts it in front of what the user says. Neither
takes it for something that was said: `without_recalled` removes it from what is stored,
searched for, or sent back by a client.
"""

from __future__ import annotations

from lair.common.v1.chat_pb2 import Message

_BEGIN, _END = "<lair-memory>\n", "\n</lair-memory>"


def marked(body: str) -> str:
    """Return `body` between the marks; none of its lines may begin with the second one."""
    return f"{_BEGIN}{body}{_END}"


def without_recalled(text: str) -> str:
    """Return `text` without the blocks that lair put into it."""
    if _BEGIN not in text:
        return text
    kept, done = [], 0
    while (begin := text.find(_BEGIN, done)) >= 0:
        # From the line's end in front of its body, which may be empty.
        end = text.find(_END, begin + len(_BEGIN) - 1)
        if end < 0:
            break
        kept.append(text[done:begin])
        done = end + len(_END)
        while text.startswith("\n", done):
            done += 1
    return "".join((*kept, text[done:]))


def message_without_recalled(message: Message) -> Message:
    """Return a message without the blocks; itself where it holds none."""
    texts = [message.text, *(part.text for part in message.parts.parts)]
    if not any(_BEGIN in text for text in texts):
        return message
    clean = Message()
    clean.CopyFrom(message)
    if clean.HasField("text"):
        clean.text = without_recalled(clean.text)
    for part in clean.parts.parts:
        if part.HasField("text"):
            part.text = without_recalled(part.text)
    return clean
