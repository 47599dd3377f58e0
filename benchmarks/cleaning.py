"""Messages per second of the cleaning against html2text and mail-parser-reply: same messages, one core, in turns.

usage: cleaning.py --peer PYTHON [--messages N] [--repeat N] [--output benchmarks]

PYTHON is that of an environment of its own with html2text and mail-parser-reply. Each side is a process of its own
that waits while the other one computes. It has cleaned the other messages of the project, in the same wrappings, before
it is measured on each message once: what it remembers of words and lines, it has from other messages.
"""

from __future__ import annotations

import argparse
import html
import importlib
import json
import os
import quopri
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import results
from results import Figure

ROOT = Path(__file__).parent.parent
LIBRARIES = ("selectolax", "ftfy")
WANTED = 20_000
"""Messages per second and core, of clean messages."""
ANSWER = (
    "Thank you for your message. Your order left our warehouse on Monday, and the carrier will deliver it by Thursday. "
    "You can follow it in the app. If it does not arrive, answer this mail and we open an inquiry with the carrier."
)
LEGAL = (
    "This message is confidential and meant for the addressee only. If you are not the addressee, please tell the "
    "sender and delete it. "
    "We process personal data as our privacy notice says."
)
CSS = "".join(f".c{number} {{ margin: 0; padding: {number}px; font-family: sans-serif; }} " for number in range(60))
WRAPPINGS: dict[str, Callable[[str], str]] = {
    "reply above": lambda text: (
        f"{text}\n\nOn Fri, 20 Nov 2026 at 10:02, Support <support@example.com> wrote:\n> {ANSWER}"
    ),
    "reply below": lambda text: (
        f"On Fri, 20 Nov 2026 at 10:02, Support <support@example.com> wrote:\n> {ANSWER}\n\n{text}"
    ),
    "Outlook": lambda text: (
        f"{text}\n\n________________________________\nFrom: Support <support@example.com>\n"
        f"Sent: Friday, 20 November 2026 10:02\nTo: J. Doe\nSubject: Re: order\n\n{ANSWER}"
    ),
    "HTML": lambda text: f'<div dir="ltr"><p>{html.escape(text)}</p><br></div>',
    "HTML with styles": lambda text: (
        f"<html><head><style>{CSS}</style></head><body><p>{html.escape(text)}</p></body></html>"
    ),
    "footer": lambda text: f"{text}\n\n-- \nJ. Doe\nOffice Manager | Example Ltd\n\n{LEGAL}",
    "banner": lambda text: (
        f"[EXTERNAL] This message came from outside. Do not click links or open attachments.\n\n{text}"
    ),
    "form": lambda text: f"Name: J. Doe\nE-mail: j@example.org\nMessage: {text}\nI have read the privacy policy: yes",
    "placeholders": lambda text: f"My name is [NAME] and my number is [PHONE_NUMBER]. {text} [NAME]",
    "quoted-printable": lambda text: quopri.encodestring(f"Hello, it\u2019s me. {text}".encode()).decode(),
    "phone": lambda text: f"{text}\n\nSent from my iPhone",
    "JSON": lambda text: json.dumps({"channel": "email", "body": text, "tags": ["vip"]}),
}


NAMES = ("J. Doe", "Maria Lopez", "A. N. Other", "Jean Dupont", "Erika Muster", "S. Okafor", "Li Wei")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def varied(text: str, place: int) -> str:
    """A wrapped message with a name, an order and days of its own: lines of mails are alike, but seldom equal."""
    text = text.replace("J. Doe", NAMES[place % len(NAMES)]).replace("order", f"order {10_000 + place}")
    return text.replace("Monday", DAYS[place % len(DAYS)]).replace("10:02", f"{place % 24:02}:{place % 60:02}")


def messages(number: int, samples: int) -> dict[str, list[list[str]]]:
    """Samples of messages of the project, as they are and in the wrappings in turn; no message is in two.

    The first sample has those that the others leave.
    """
    found = []
    for path in sorted((ROOT / "data/messages").glob("*.jsonl")):
        found += [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    step = len(found) // (number * samples)
    own = [found[place * step :: step * samples][:number] for place in range(samples)]
    taken = {text for texts in own for text in texts}
    own.insert(0, [text for text in found if text not in taken])
    wrap = list(WRAPPINGS.values())
    wrapped = [[varied(wrap[place % len(wrap)](text), place) for place, text in enumerate(texts)] for texts in own]
    return {"clean": own, "wrapped": wrapped}


def cleaner(side: str) -> Callable[[list[str]], object]:
    if side == "ours":
        from beam_pcc.features.cleaning import clean

        return clean
    html2text = importlib.import_module("html2text")  # of the peer's environment
    parser = importlib.import_module("mailparser_reply").EmailReplyParser(languages=["en", "de", "fr", "es"])

    def peer(texts: list[str]) -> object:
        return [
            parser.parse_reply(html2text.html2text(text) if "<" in text and "</" in text else text) for text in texts
        ]

    return peer


def serve(side: str) -> None:
    """The measured process: for each name of a mix on stdin, clean its next sample and print the seconds of CPU."""
    given: dict[str, list[list[str]]] = json.loads(sys.stdin.readline())
    clean = cleaner(side)
    samples = {name: iter(texts) for name, texts in given.items()}
    for sample in samples.values():
        clean(next(sample))
    print("ready", flush=True)
    for name in sys.stdin:
        texts = next(samples[name.strip()])
        started = time.process_time()
        clean(texts)
        print(time.process_time() - started, flush=True)


def start(python: str, side: str, given: dict[str, list[list[str]]]) -> subprocess.Popen[str]:
    """A measured process, ready."""
    process = subprocess.Popen(
        [python, __file__, "--serve", side],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    if process.stdout.readline() != "ready\n":
        raise SystemExit(f"{python} could not clean as {side}: see its message above")
    return process


def once(process: subprocess.Popen[str], name: str) -> float:
    """Seconds of CPU for the next sample of a mix."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the Python that has html2text and mail-parser-reply")
    parser.add_argument("--messages", type=int, default=750, help="of a repetition")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--output", type=Path, help="as in run.py")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        serve(flags.serve)
        return
    if not flags.peer:
        parser.error("--peer is needed: the Python of an environment with html2text and mail-parser-reply")
    given, load = messages(flags.messages, flags.repeat), os.getloadavg()[0]
    running = {"ours": start(sys.executable, "ours", given), "peer": start(flags.peer, "peer", given)}
    seconds: dict[tuple[str, str], list[float]] = {(side, name): [] for side in running for name in given}
    for _ in range(flags.repeat):
        for name in given:
            for side, process in running.items():
                seconds[side, name].append(once(process, name))
    for process in running.values():
        process.kill()
    characters = {name: round(statistics.fmean(map(len, given[name][-1]))) for name in given}
    number = len(given["clean"][-1])
    measured = results.conditions(flags.repeat, load, LIBRARIES, messages=number, mean_characters=characters)
    with tempfile.TemporaryDirectory() as aside:
        output = flags.output or Path(aside)
        output.mkdir(parents=True, exist_ok=True)
        results.write(output, "cleaning", list(figures(seconds, number)), measured)
        print(f"\n{results.table(output)}")
    if flags.output and (flags.output / "README.md").exists():
        results.update(flags.output / "README.md")


def figures(seconds: dict[tuple[str, str], list[float]], number: int) -> Iterator[Figure]:
    """A figure for each mix, from the seconds of each repetition."""
    for name in ("clean", "wrapped"):
        own, peer = seconds["ours", name], seconds["peer", name]
        reached = number / statistics.median(own)
        yield Figure(
            f"cleaning of {name} messages against html2text and mail-parser-reply, one core",
            f"{reached:,.0f} messages/s",
            f"{number / statistics.median(peer):,.0f} messages/s",
            [other / ours for other, ours in zip(peer, own, strict=True)],
            f"ours >= {WANTED:,}/s",
            reached >= WANTED,
            {"ours, seconds of CPU": own, "peer, seconds of CPU": peer},
        )


if __name__ == "__main__":
    main()
