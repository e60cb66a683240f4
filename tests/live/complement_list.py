"""Compares `complement.md` with what was played: every check that it names must be there."""

import os
import re

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "complement.md")


def rows():
    """The numbered rows: number, scenarios and checks that the column `played in` names."""
    with open(LIST, encoding="utf-8") as file:
        for line in file:
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if len(cells) >= 3 and cells[0].isdigit():
                named = re.findall(r"`([^`]+)`", cells[2])
                scenarios = [name for name in named if re.fullmatch(r"(complement|ours|theirs)_\w+", name)]
                yield int(cells[0]), scenarios, [name for name in named if name not in scenarios]


def missing(results):
    """What the list names and was not played, a line each."""
    played = {}
    for (scenario, _), t in results.items():
        played.setdefault(scenario, set()).update(what.replace("`", "") for what, _, _ in t.checks)
    out = []
    for number, scenarios, named in rows():
        # Code in backticks is no text of a check; a row without a scenario says why it has none.
        checks = [name for name in named if scenarios and not re.search(r"\w\.\w+\(", name)]
        out += [f"{number}: no scenario `{scenario}`" for scenario in scenarios if scenario not in played]
        texts = set().union(*(played.get(scenario, set()) for scenario in scenarios))
        out += [
            f"{number}: no check `{check}` in {scenarios}"
            for check in checks
            if not any(check in text for text in texts)
        ]
    return out
