"""Draws a dashboard as an HTML page: the panels of its JSON, in their places, with what Prometheus answers to their queries.

It knows the kinds of panels that the dashboards here have, and draws them plainly: it is no Grafana.
"""

import html
import json
import math
import re

COLUMNS = 24
COLUMN_PX, ROW_PX, GAP_PX = 50, 30, 6
TONES = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#f2495c", "#8ab8ff", "#96d98d", "#ffb357", "#ca95e5"]
NAMED = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830"}
STYLE = """
body { margin: 0; background: #111217; color: #ccccdc; font: 12px "DejaVu Sans", sans-serif; }
h1 { font-size: 15px; font-weight: 500; margin: 0; padding: 10px 12px 4px; }
main { position: relative; }
section { position: absolute; background: #181b1f; border: 1px solid #25272d; box-sizing: border-box; overflow: hidden; }
section h2 { font-size: 12px; font-weight: 500; margin: 5px 8px 2px; }
section.row { background: none; border: 0; } section.row h2 { font-size: 13px; color: #fff; }
.legend { position: absolute; left: 8px; right: 8px; bottom: 3px; height: 28px; overflow: hidden; font-size: 10px; color: #9fa1ad; }
.legend i { display: inline-block; width: 9px; height: 3px; margin: 0 3px 3px 8px; }
.big { font-size: 26px; text-align: center; margin-top: 18px; } .none { text-align: center; color: #6e7080; margin-top: 24px; }
table { border-collapse: collapse; margin: 4px 8px; font-size: 11px; } td, th { padding: 3px 9px; border-bottom: 1px solid #25272d; text-align: left; }
svg text { fill: #9fa1ad; font-size: 10px; }
"""


def page(dashboard, answers):
    """The page, and its size in pixels. `answers` has what Prometheus answered, by panel's id and target's letter."""
    bottom = 0
    sections = []
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y = place["x"] * COLUMN_PX, place["y"] * ROW_PX
        width, height = place["w"] * COLUMN_PX - GAP_PX, place["h"] * ROW_PX - GAP_PX
        bottom = max(bottom, y + height)
        kind = "row" if panel["type"] == "row" else panel["type"]
        style = f"left:{x + GAP_PX}px;top:{y}px;width:{width}px;height:{height}px"
        inside = "" if kind == "row" else DRAWN[kind](panel, found(panel, answers), width, height - 26)
        sections.append(f'<section class="{kind}" style="{style}"><h2>{html.escape(panel["title"])}</h2>{inside}</section>')
    size = (COLUMNS * COLUMN_PX + GAP_PX, bottom + 40)
    body = f"<h1>{html.escape(dashboard['title'])}</h1><main>{''.join(sections)}</main>"
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{body}', size


def found(panel, answers):
    """Series of a panel: (name, labels, points), a point being (time, value)."""
    series = []
    for target in panel["targets"]:
        for answer in answers.get((panel["id"], target["refId"]), ()):
            labels = answer["metric"]
            points = answer.get("values") or [answer["value"]]
            points = [(float(time), float(value)) for time, value in points]
            name = target["legendFormat"] or ", ".join(labels.values())
            for label, value in labels.items():
                name = name.replace("{{" + label + "}}", value)
            # A label that is not there is empty.
            name = re.sub(r"\s*\{\{\w+\}\}", "", name)
            series.append((name, labels, [point for point in points if math.isfinite(point[1])]))
    return series


def lines(panel, series, width, height):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    series = [each for each in series if each[2]]
    if not series:
        return '<p class="none">nothing yet</p>'
    left, low = 52, 44
    times = [time for _, _, points in series for time, _ in points]
    values = [value for _, _, points in series for _, value in points]
    first, last = min(times), max(max(times), min(times) + 1)
    top, floor = nice(max(values)), min(0, min(values))

    def x(time):
        return left + (width - left - 12) * (time - first) / (last - first)

    def y(value):
        return 6 + (height - low - 6) * (1 - (value - floor) / ((top - floor) or 1))

    out = []
    for part in (0, 0.5, 1):
        value = floor + (top - floor) * part
        out.append(f'<line x1="{left}" x2="{width - 12}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#25272d"/>')
        out.append(f'<text x="{left - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{shown(value, unit)}</text>')
    legend = []
    for place, (name, _, points) in enumerate(series[:40]):
        tone = TONES[place % len(TONES)]
        path = " ".join(f"{x(time):.1f},{y(value):.1f}" for time, value in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{tone}" stroke-width="1.3"/>')
        legend.append(f'<i style="background:{tone}"></i>{html.escape(name)}')
    return f'<svg width="{width}" height="{height - 20}">{"".join(out)}</svg><div class="legend">{"".join(legend)}</div>'


def number(panel, series, width, height):
    if not series or not series[0][2]:
        return '<p class="none">nothing yet</p>'
    defaults = panel["fieldConfig"]["defaults"]
    value = series[0][2][-1][1]
    tone = "#ccccdc"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            tone = NAMED.get(step["color"], step["color"])
    return f'<div class="big" style="color:{tone}">{shown(value, defaults["unit"])}</div>'


def heat(panel, series, width, height):
    """Buckets are cumulative: what is in one is what it has more than the one below it."""
    series = [each for each in series if each[1].get("le")]
    if not series:
        return '<p class="none">nothing yet</p>'
    series.sort(key=lambda each: float(each[1]["le"].replace("+Inf", "inf")))
    left, low = 52, 8
    below, cells = {}, []
    for place, (_, _, points) in enumerate(series):
        for time, value in points:
            cells.append((place, time, max(0.0, value - below.get(time, 0.0))))
            below[time] = max(value, below.get(time, 0.0))
    times = sorted({time for _, time, _ in cells})
    most = max(count for _, _, count in cells) or 1
    wide, high = (width - left - 12) / len(times), (height - low - 8) / len(series)
    columns = {time: left + place * wide for place, time in enumerate(times)}
    out = []
    for place, time, count in cells:
        if count > 0:
            share = (count / most) ** 0.5
            out.append(
                f'<rect x="{columns[time]:.1f}" y="{6 + (len(series) - 1 - place) * high:.1f}" width="{wide + 0.3:.1f}" '
                f'height="{high - 1:.1f}" fill="hsl({230 - 200 * share:.0f},75%,{30 + 30 * share:.0f}%)"/>'
            )
    for place, (_, labels, _) in enumerate(series):
        if place % 2 == 0:
            text = shown(float(labels["le"].replace("+Inf", "inf")), "s")
            out.append(f'<text x="{left - 5}" y="{6 + (len(series) - 0.3 - place) * high:.1f}" text-anchor="end">{text}</text>')
    return f'<svg width="{width}" height="{height - 2}">{"".join(out)}</svg>'


def states(panel, series, width, height):
    if not series:
        return '<p class="none">nothing yet</p>'
    left, high = 250, min(26, (height - 12) / len(series))
    times = [time for _, _, points in series for time, _ in points]
    first, last = min(times), max(max(times), min(times) + 1)
    out = []
    for place, (name, _, points) in enumerate(sorted(series)):
        y = 6 + place * high
        out.append(f'<text x="{left - 6}" y="{y + high / 2 + 3:.1f}" text-anchor="end">{html.escape(name)}</text>')
        for (time, value), (end, _) in zip(points, points[1:] + [(last, 0)]):
            x = left + (width - left - 12) * (time - first) / (last - first)
            wide = (width - left - 12) * (end - time) / (last - first)
            tone = NAMED["green" if value >= 1 else "red"]
            out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide + 0.3:.1f}" height="{high - 4:.1f}" fill="{tone}"/>')
    return f'<svg width="{width}" height="{height}">{"".join(out)}</svg>'


def table(panel, series, width, height):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    moves = {each["id"]: each["options"] for each in panel.get("transformations", [])}
    if turned := moves.get("groupingToMatrix"):
        cells = {(labels[turned["rowField"]], labels[turned["columnField"]]): points[-1][1] for _, labels, points in series if points}
        rows, columns = (sorted({key[place] for key in cells}) for place in (0, 1))
        head = ["", *columns]
        body = [[row, *(shown(cells[row, column], unit) if (row, column) in cells else "" for column in columns)] for row in rows]
    else:
        hidden = moves.get("organize", {}).get("excludeByName", {})
        head = sorted({label for _, labels, _ in series for label in labels if not hidden.get(label)})
        body = [[labels.get(label, "") for label in head] for _, labels, _ in series]

    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(cells, 'td') for cells in body)}</table>"


def world(panel, series, width, height):
    """A grid of degrees, every 30, with a marker for each region: coasts it has none."""
    high = height - 8

    def at(latitude, longitude):
        return width * (longitude + 180) / 360, 4 + high * (90 - latitude) / 180

    out = []
    for degrees in range(-180, 181, 30):
        (x, _), (_, y) = at(0, degrees), at(max(-90, min(90, degrees)), 0)
        out.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="4" y2="{high}" stroke="#25272d"/>')
        if abs(degrees) <= 90:
            out.append(f'<line x1="0" x2="{width}" y1="{y:.0f}" y2="{y:.0f}" stroke="{"#3a3d45" if degrees == 0 else "#25272d"}"/>')
    most = max((points[-1][1] for _, _, points in series if points), default=1) or 1
    for _, labels, points in series:
        x, y = at(float(labels["latitude"]), float(labels["longitude"]))
        value = points[-1][1] if points else 0
        out.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{6 + 18 * value / most:.1f}" fill="#73bf69" fill-opacity="0.7"/>')
        text = f"{labels['region']} ({labels['place']}), {shown(value, 'reqps')}"
        out.append(f'<text x="{x:.0f}" y="{y + 38:.0f}" text-anchor="middle">{html.escape(text)}</text>')
    return f'<svg width="{width}" height="{height}">{"".join(out)}</svg>'


DRAWN = {
    "timeseries": lines,
    "stat": number,
    "heatmap": heat,
    "state-timeline": states,
    "table": table,
    "geomap": world,
}


def nice(value):
    if not value > 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999)


def shown(value, unit):
    """A number with its unit, short."""
    if value == math.inf:
        return "more"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return "0"
    if unit in ("bytes", "Bps"):
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}" + ("/s" if unit == "Bps" else "")
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    tail = {"reqps": " req/s", "ops": " /s", "Bps": " B/s", "bytes": " B"}.get(unit, "")
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}{tail}"
    return f"{value:.3g}{tail}"


def answers_of(dashboard, ask, values):
    """Puts every query to Prometheus. `ask(query, instant)` gives its result; `values` are the variables'."""
    answers = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"]
            for name, value in values.items():
                query = query.replace(name, value)
            answers[panel["id"], target["refId"]] = ask(query, bool(target.get("instant")))
    return answers


def read(path):
    return json.loads(path.read_text())
