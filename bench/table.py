# SPDX-License-Identifier: Apache-2.0
"""The table people read: a row for each metric, a column for each peer."""


def _number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 0.01 else f"{value:.2f}"


def _cell(cell):
    if not cell:
        return "–", ""
    ratio = f"×{cell['ratio']:.2f}" if "ratio" in cell else ""
    return _number(cell["median"]), ratio


def _lines(summary, cases, peers):
    """(label, cells) for a row, (title, None) above a case."""
    for case in cases:
        rows = summary[case.name]
        if not any(rows.values()):
            continue
        yield case.title, None
        for metric in case.metrics:
            cells = [_cell(rows[metric.key].get(peer)) for peer in peers]
            if any(value != "–" for value, _ in cells):
                yield "  " + metric.label, cells


def render(summary, cases, peers, baseline):
    """Text of the table. Ratios are against `baseline` in the same run."""
    lines = list(_lines(summary, cases, peers))
    label = max((len(text) for text, cells in lines if cells), default=0)
    head = " " * label + "".join(
        f"  {peer:>9} {'' if peer == baseline else '':6}" for peer in peers)
    out = [head.rstrip()]
    for text, cells in lines:
        if cells is None:
            out += ["", text]
            continue
        row = f"{text:{label}}"
        for value, ratio in cells:
            row += f"  {value:>9} {ratio:6}"
        out.append(row.rstrip())
    return "\n".join(out)
