# SPDX-License-Identifier: Apache-2.0
"""Medians of the rounds, and ratios against one peer."""
import collections
import statistics

QUIET = 0.15  # cores that others may use in a measurement worth its name


def _quiet(entries):
    """Those that others disturbed least: all quiet ones, or half."""
    ranked = sorted(entries, key=lambda entry: entry.get("noise", 0))
    quiet = [entry for entry in ranked if entry.get("noise", 0) < QUIET]
    half = ranked[:(len(ranked) + 1) // 2]
    return quiet if len(quiet) >= len(half) else half


def _numbers(entries, key):
    return [entry[key] for entry in entries
            if isinstance(entry.get(key), (int, float))]


def summarize(results, cases, baseline):
    """{case: {metric: {peer: {"median", "low", "high", "ratio"}}}}"""
    groups = collections.defaultdict(list)
    for entry in results:
        groups[entry["case"], entry["peer"]].append(entry)
    summary = {}
    for case in cases:
        summary[case.name] = {
            metric.key: _metric(groups, case, metric, baseline)
            for metric in case.metrics}
    return summary


def _metric(groups, case, metric, baseline):
    row = {}
    for (name, peer), entries in groups.items():
        if name != case.name:
            continue
        values = _numbers(_quiet(entries), metric.key)
        if values:
            row[peer] = {"median": statistics.median(values),
                         "low": min(values), "high": max(values)}
    base = row.get(baseline, {}).get("median")
    for peer, cell in row.items():
        if base and peer != baseline:
            cell["ratio"] = cell["median"] / base
    return row


def remarks(results):
    """What a reader must know before believing the table."""
    lines = []
    errors = collections.Counter()
    for entry in results:
        errors[entry["peer"], entry["case"]] += entry.get("errors", 0)
    for (peer, case), count in errors.items():
        if count:
            lines.append(f"{peer}, {case}: {count} failed exchanges")
    noise = _numbers(results, "noise")
    disturbed = [value for value in noise if value >= QUIET]
    if disturbed:
        lines.append(
            f"other programs used more than {QUIET} cores in "
            f"{len(disturbed)} of {len(noise)} measurements (median "
            f"{statistics.median(noise):.2f}, most {max(noise):.2f}): the "
            "quieter half of the rounds counts")
    return lines
