# SPDX-License-Identifier: GPL-2.0-or-later
"""A page of plots of all recorded runs: goals, the latest figures beside the peers', the trend. No script, one file.

The tables of docs/performance.md come from the same figures: what stands between a line "<!-- figures: SUITE -->", or
"<!-- goals -->", and the next "<!-- end -->".
"""
import html
import os
import re

import record as records
from goals import GOALS
from record import KINDS, goal_rows, show

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --dim: #5d6776; --line: #d5dae1; --paper: #fff; --hull: #1668c4;
  --peer: #a9b3c1; --met: #1d7f46; --missed: #b8401f }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --dim: #98a3b3; --line: #39424f; --paper: #14181e;
  --hull: #5aa5f2; --peer: #59657a; --met: #54c184; --missed: #f08a63 } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto; padding: 0 1rem;
  max-width: 62rem }
table { border-collapse: collapse } td, th { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line) }
td.number { text-align: right; font-variant-numeric: tabular-nums } .dim { color: var(--dim) }
.met { color: var(--met) } .missed { color: var(--missed); font-weight: 600 }
.plots { display: flex; flex-wrap: wrap; gap: 1.2rem } figure { margin: 0 } figcaption { font-size: 13px }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink) } svg .dim { fill: var(--dim) }
svg .hull { fill: var(--hull) } svg .peer { fill: var(--peer) } svg .trend { fill: none; stroke: var(--hull); stroke-width: 2 }
svg .goal { stroke: var(--missed); stroke-dasharray: 4 3 } svg .spread { stroke: var(--ink) } svg .axis { stroke: var(--line) }
.wide { overflow-x: auto }
"""
WIDTH = 300


def load_all(directory):
    """All records, the oldest first."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    history = [(name[:-len(".json")], records.load(f"{directory}/{name}").finish()) for name in names]
    return sorted(history, key=lambda entry: entry[1].about.get("time", entry[0]))


def latest(history):
    """A record with each case as the last one has it that measured it, and {suite: name of the last one}."""
    newest, source = records.Record(), {}
    for name, record in history:
        newest.update(record)
        for figure in record.figures.values():
            source[figure["suite"]] = name
    return newest.finish(), source


def bars(figures, goal):
    """An SVG: a bar for each VMM's median, its spread, and where hull has to be."""
    longest = max(max(figure["max"] for figure in figures), goal or 0) or 1
    left, row = 92, 20
    scale = (WIDTH - left - 70) / longest
    parts = []
    for number, figure in enumerate(figures):
        y = number * row
        length = figure["median"] * scale
        kind = "hull" if figure["vmm"].startswith("hull") else "peer"
        parts.append(f'<text x="0" y="{y + 14}">{html.escape(figure["vmm"])}</text>'
                     f'<rect class="{kind}" x="{left}" y="{y + 4}" width="{max(length, 1):.1f}" height="12" rx="2"/>'
                     f'<text class="dim" x="{left + max(figure["max"] * scale, length) + 5:.1f}" y="{y + 14}">'
                     f'{show(figure["median"])}</text>')
        if figure["max"] > figure["min"]:
            parts.append(f'<line class="spread" x1="{left + figure["min"] * scale:.1f}" x2="{left + figure["max"] * scale:.1f}" '
                         f'y1="{y + 10}" y2="{y + 10}"/>')
    height = len(figures) * row + 2
    if goal is not None:
        x = left + goal * scale
        parts.append(f'<line class="goal" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>')
    return svg(height, parts)


def trend(points, limit):
    """An SVG: what was reached in each record, oldest first; None where it was not measured."""
    height, top = 70, 8
    known = [value for value in points if value is not None]
    highest = max([*known, limit]) * 1.1 or 1
    step = (WIDTH - 90) / max(len(points) - 1, 1)

    def at(value):
        return top + (height - top) * (1 - value / highest)

    spots = [(number * step + 4, at(value)) for number, value in enumerate(points) if value is not None]
    parts = [f'<line class="axis" x1="0" x2="{WIDTH - 60}" y1="{height}" y2="{height}"/>',
             f'<line class="goal" x1="0" x2="{WIDTH - 60}" y1="{at(limit):.1f}" y2="{at(limit):.1f}"/>',
             '<polyline class="trend" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in spots) + '"/>']
    parts += [f'<circle class="hull" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots]
    parts.append(f'<text class="dim" x="{spots[-1][0] + 8:.1f}" y="{spots[-1][1] + 4:.1f}">{known[-1]:.3g}</text>')
    return svg(height + 6, parts)


def svg(height, parts):
    return f'<svg width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'


def figure_of(caption, picture):
    return f"<figure><figcaption>{html.escape(caption)}</figcaption>{picture}</figure>"


def goal_section(newest):
    lines = ["<h2>Goals</h2><div class=wide><table><tr><th>suite<th>case<th>what<th>goal<th>measured<th></tr>"]
    for suite, case, metric, wanted, found, state in goal_rows(newest):
        kind = {"met": "met", "missed": "missed"}.get(state, "dim")
        lines.append(f"<tr><td>{suite}<td>{html.escape(case)}<td>{html.escape(metric)}<td>{html.escape(wanted)}"
                     f'<td class=number>{found}<td class="{kind}">{state}</tr>')
    return lines + ["</table></div>"]


def plots_of(newest, suite):
    """Figures with a goal, and times and rates that more than one VMM has."""
    groups = {}
    for figure in newest.figures.values():
        if figure["suite"] == suite:
            groups.setdefault((figure["case"], figure["metric"]), []).append(figure)
    plots = []
    for (case, metric), figures in groups.items():
        goal = GOALS.get((suite, case, metric))
        rivals = any(figure["peer"] for figure in figures)
        if not goal and not (rivals and metric in ("time", "rate", "requests", "save", "first entry", "answer")):
            continue
        limit = None
        best = next((figure["best_peer"] for figure in figures if figure["vmm"] == "hull"), None)
        if goal and goal[0] == "value":
            limit = goal[2]
        elif goal and best:
            limit = goal[2] * best if goal[0] == "ratio" or figures[0]["better"] == "higher" else best / goal[2]
        unit = f", {figures[0]['unit']}" if figures[0]["unit"] else ""
        plots.append(figure_of(f"{case}: {metric}{unit}", bars(figures, limit)))
    return plots


def trend_section(history):
    plots = []
    for (suite, case, metric), (kind, relation, limit) in GOALS.items():
        points = []
        for _, record in history:
            figure = record.figures.get((suite, case, "hull", metric))
            points.append(figure["goal"]["reached"] if figure else None)
        if any(point is not None for point in points):
            sign = "≤" if relation == "<=" else "≥"
            unit = KINDS[kind].format("").strip()
            plots.append(figure_of(f"{suite}, {case}: {metric}, {sign} {limit:g} {unit}", trend(points, limit)))
    return ["<h2>Trend over the recorded runs</h2><div class=plots>", *plots, "</div>"]


def run_section(history):
    lines = ["<h2>Recorded runs</h2><table><tr><th>record<th>commit<th>host<th>clock<th>peers<th>note</tr>"]
    for name, record in history:
        about = record.about
        cells = [name, about.get("commit", ""), about.get("host", ""), about.get("clock", ""), about.get("peers", ""),
                 about.get("note", "")]
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(text))}" for text in cells) + "</tr>")
    return lines + ["</table>"]


def fill(text, newest):
    """text with its tables made anew; those of suites that no record has stay as they are."""
    measured = {figure["suite"] for figure in newest.figures.values()}

    def table(match):
        if match[2] and match[2] not in measured:
            return match[0]
        tables = records.tables(newest, [match[2]]) if match[2] else records.goal_table(newest)
        body = "\n".join(line for line in tables.splitlines() if not line.startswith("###")).strip("\n")
        return f"{match[1]}\n{body}\n<!-- end -->"

    return re.sub(r"(<!-- (?:figures: (\w+)|goals) -->)\n.*?<!-- end -->", table, text, flags=re.DOTALL)


def make(directory, text=None):
    """Writes index.html from the records of directory, and the tables in the file text. Returns 0, or 1 without records."""
    history = load_all(directory)
    if not history:
        return 1
    newest, source = latest(history)
    lines = ['<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
             f"<title>hull: performance</title><style>{STYLE}</style><h1>hull: performance</h1>",
             "<p>Made by <code>scripts/bench --page</code> from the records beside this file. Bars are medians, the thin line in"
             " them the spread, the dashed line the goal. Counts repeat; times are ratios at best.</p>",
             *goal_section(newest)]
    for suite, name in source.items():
        plots = plots_of(newest, suite)
        if plots:
            lines += [f"<h2>{suite} <span class=dim>({html.escape(name)})</span></h2><div class=plots>", *plots, "</div>"]
    lines += [*trend_section(history), *run_section(history), "</html>"]
    with open(f"{directory}/index.html", "w") as file:
        file.write("\n".join(lines) + "\n")
    if text:
        with open(text) as file:
            filled = fill(file.read(), newest)
        with open(text, "w") as file:
            file.write(filled)
    return 0
