# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of one run of the bench: what was measured, what follows from it, as tables and as a file."""
import json
import statistics

from goals import GOALS, met, reached

KEYS = ("suite", "case", "vmm", "metric")


class Record:
    """Figures in the order they came; one with the same suite, case, VMM and metric replaces the earlier one."""

    def __init__(self, about=None, figures=()):
        self.about = about or {}
        self.figures = {tuple(figure[key] for key in KEYS): dict(figure) for figure in figures}

    def add(self, suite, case, vmm, metric, unit, values, better="lower", peer=True):
        """values: of each run; peer: is this VMM one that hull is compared with in this case."""
        values = [float(value) for value in values]
        if not values:
            return
        self.figures[suite, case, vmm, metric] = {
            "suite": suite, "case": case, "vmm": vmm, "metric": metric, "unit": unit, "better": better,
            "median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values),
            "peer": peer and not vmm.startswith("hull")}

    def update(self, other):
        """Takes over what another one measured: cases of it replace ours."""
        cases = {key[:2] for key in other.figures}
        self.figures = {key: figure for key, figure in self.figures.items() if key[:2] not in cases}
        self.figures.update(other.figures)

    def median(self, suite, case, vmm, metric):
        figure = self.figures.get((suite, case, vmm, metric))
        return figure["median"] if figure else None

    def finish(self):
        """Adds the ratio to the best peer and the goal to each figure."""
        for figure in self.figures.values():
            rivals = [other["median"] for other in self.figures.values() if other["peer"] and other is not figure and
                      all(other[key] == figure[key] for key in ("suite", "case", "metric"))]
            best = (min if figure["better"] == "lower" else max)(rivals, default=None)
            figure["best_peer"] = best
            figure["ratio"] = figure["median"] / best if best else None
            figure.pop("goal", None)
            goal = GOALS.get((figure["suite"], figure["case"], figure["metric"]))
            if goal and figure["vmm"] == "hull":
                kind, relation, limit = goal
                found = reached(kind, figure["median"], best, figure["better"])
                figure["goal"] = {"kind": kind, "relation": relation, "limit": limit, "reached": found,
                                  "met": None if found is None else met(found, relation, limit)}
        return self

    def save(self, path):
        with open(path, "w") as file:
            json.dump({"about": self.about, "figures": list(self.figures.values())}, file, indent=1)
            file.write("\n")


def load(path):
    with open(path) as file:
        content = json.load(file)
    return Record(content["about"], content["figures"])


def show(value):
    """Three digits where there are fewer before the point; thousands apart."""
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cell(figure):
    """Median, and in brackets the spread if it shows."""
    text = show(figure["median"])
    low, high = show(figure["min"]), show(figure["max"])
    return text if low == high else f"{text} ({low}, {high})"


def unit_of(figure):
    return f"{figure['metric']}, {figure['unit']}" if figure["unit"] else figure["metric"]


def tables(record, suites=None):
    """Markdown: a table for each suite, a row for each case and VMM; a suite's metrics that few cases have come apart."""
    lines = []
    grouped = {}
    for figure in record.figures.values():
        grouped.setdefault(figure["suite"], {}).setdefault(figure["case"], []).append(figure)
    for suite, cases in grouped.items():
        if suites and suite not in suites:
            continue
        blocks = {}  # cases with the same metrics share a table
        for case, figures in cases.items():
            columns = tuple(dict.fromkeys(unit_of(figure) for figure in figures))
            blocks.setdefault(columns, []).append((case, figures))
        lines += ["", f"### {suite}"]
        for columns, block in blocks.items():
            lines += ["", "| case | VMM | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
            for case, figures in block:
                lines += rows(case, figures, columns)
    return "\n".join(lines)


def rows(case, figures, columns):
    lines = []
    for vmm in dict.fromkeys(figure["vmm"] for figure in figures):
        found = {unit_of(figure): figure for figure in figures if figure["vmm"] == vmm}
        cells = []
        for column in columns:
            figure = found.get(column)
            text = cell(figure) if figure else "-"
            # Of counts and times alike, hull's against the best peer's.
            if figure and vmm.startswith("hull") and figure.get("ratio") is not None:
                text += f" = {figure['ratio']:.2f}"
            cells.append(text)
        lines.append(f"| {case} | {vmm} | " + " | ".join(cells) + " |")
    return lines


KINDS = {"value": "{}", "ratio": "{} of the best peer's", "speed": "{} times as fast as the best peer"}


def goal_rows(record):
    """[(suite, case, metric, limit, reached, "met"|"missed"|"not measured")] in the order of GOALS."""
    found = []
    for (suite, case, metric), (kind, relation, limit) in GOALS.items():
        figure = record.figures.get((suite, case, "hull", metric))
        goal = figure.get("goal") if figure else None
        unit = f" {figure['unit']}" if figure and kind == "value" and figure["unit"] else ""
        wanted = ("≤ " if relation == "<=" else "≥ ") + KINDS[kind].format(f"{limit:g}{unit}")
        reached_now = goal["reached"] if goal else None
        state = "not measured" if reached_now is None else "met" if goal["met"] else "missed"
        found.append((suite, case, metric, wanted, show(reached_now), state))
    return found


def goal_table(record):
    lines = ["| suite | case | what | goal | measured | |", "|---|---|---|---|---|---|"]
    for suite, case, metric, wanted, found, state in goal_rows(record):
        mark = f"**{state}**" if state == "missed" else state
        lines.append(f"| {suite} | {case} | {metric} | {wanted} | {found} | {mark} |")
    return "\n".join(lines)
