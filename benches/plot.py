#!/usr/bin/env python3
"""Draws what a knock costs over the size of the room, ours and the peer's, from criterion's estimates.

Reads target/criterion/**/new/{benchmark,estimates}.json (or below $CARGO_TARGET_DIR), which `cargo bench --bench auth` leaves there, and
writes benches/cost_over_room_size.svg: both axes logarithmic, medians with their 95 % confidence intervals. Standard library only.
"""

import json
import math
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUP = "auth/knock"
# Function of the benchmark, name in the legend, colour, dash pattern.
CURVES = [
    ("ruma", "ruma-state-res", "#b2182b", "7 4"),
    ("plain", "matrix-knock, plain", "#2166ac", ""),
    ("compiled", "matrix-knock, compiled room", "#1b7837", "2 3"),
]
WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 90, 230, 50, 70


def measured(criterion):
    """By function the points (members, median, low, high), the times in nanoseconds."""
    points = {}
    for path in criterion.glob("**/new/benchmark.json"):
        benchmark = json.loads(path.read_text())
        size = re.fullmatch(r"(\d+)_members_5_levels", benchmark.get("value_str") or "")
        if benchmark.get("group_id") != GROUP or not size:
            continue
        median = json.loads(path.with_name("estimates.json").read_text())["median"]
        interval = median["confidence_interval"]
        point = (int(size[1]), median["point_estimate"], interval["lower_bound"], interval["upper_bound"])
        points.setdefault(benchmark["function_id"], []).append(point)
    return {function: sorted(of_function) for function, of_function in points.items()}


def decades(values):
    return math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))


def time_label(exponent):
    for unit, power in (("ns", 0), ("µs", 3), ("ms", 6)):
        if exponent < power + 3:
            return f"{10 ** (exponent - power)} {unit}"
    return f"{10 ** (exponent - 9)} s"


def svg(points):
    every = [point for curve in points.values() for point in curve]
    x_low, x_high = decades([point[0] for point in every])
    y_low, y_high = decades([value for point in every for value in point[1:]])
    x_high, y_high = max(x_high, x_low + 1), max(y_high, y_low + 1)
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(members):
        return LEFT + plot_width * (math.log10(members) - x_low) / (x_high - x_low)

    def y(nanoseconds):
        return TOP + plot_height * (y_high - math.log10(nanoseconds)) / (y_high - y_low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="{TOP - 20}" font-size="16">Deciding on one knock</text>',
    ]
    for exponent in range(x_low, x_high + 1):
        at = x(10**exponent)
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + plot_height}" stroke="#ddd"/>')
        label = f"{10**exponent:,}"
        out.append(f'<text x="{at:.1f}" y="{TOP + plot_height + 20}" text-anchor="middle">{label}</text>')
    for exponent in range(y_low, y_high + 1):
        at = y(10**exponent)
        out.append(f'<line x1="{LEFT}" x2="{LEFT + plot_width}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{time_label(exponent)}</text>')
    out.append(f'<rect x="{LEFT}" y="{TOP}" width="{plot_width}" height="{plot_height}" fill="none" stroke="#444"/>')
    middle = LEFT + plot_width / 2
    out.append(f'<text x="{middle:.1f}" y="{HEIGHT - 20}" text-anchor="middle">members of the room (users)</text>')
    middle = TOP + plot_height / 2
    out.append(
        f'<text x="22" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 22 {middle:.1f})">'
        "time for one decision (ns, µs)</text>"
    )
    for row, (function, name, colour, dashes) in enumerate(curve for curve in CURVES if curve[0] in points):
        curve = points[function]
        style = f'stroke="{colour}" stroke-width="2"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
        path = " ".join(f"{x(members):.1f},{y(median):.1f}" for members, median, _, _ in curve)
        out.append(f'<polyline points="{path}" fill="none" {style}/>')
        for members, median, low, high in curve:
            at = x(members)
            out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}" stroke="{colour}"/>')
            out.append(f'<circle cx="{at:.1f}" cy="{y(median):.1f}" r="3.5" fill="{colour}">')
            out.append(f"<title>{name}: {median:.0f} ns, {members:,} members</title></circle>")
        at, legend = TOP + 12 + 24 * row, LEFT + plot_width + 14
        out.append(f'<line x1="{legend}" x2="{legend + 26}" y1="{at}" y2="{at}" {style}/>')
        out.append(f'<text x="{legend + 32}" y="{at + 4}">{name}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    criterion = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "criterion"
    points = measured(criterion)
    if not points:
        sys.exit(f"no estimates of `{GROUP}` below {criterion}: run `cargo bench --bench auth` first")
    target = Path(__file__).with_name("cost_over_room_size.svg")
    target.write_text(svg(points))
    for function, curve in sorted(points.items()):
        print(function, " ".join(f"{members}:{median:.0f}ns" for members, median, _, _ in curve))
    print(target)


if __name__ == "__main__":
    main()
