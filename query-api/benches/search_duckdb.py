"""Asks DuckDB what the benchmark `search` asked Ambit, over the same Parquet files, and compares answers and times.

    pip install duckdb==2.0.0
    python query-api/benches/search_duckdb.py DIR --repeat 100
"""

import argparse
import hashlib
import json
import pathlib
import statistics
import sys
import time


def shown(value):
    """A value as our side writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def main():
    import duckdb

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    ours = json.loads((args.dir / "ours.json").read_text())
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    files = ", ".join("'" + name.replace("'", "''") + "'" for name in ours["files"])
    # The list is the table's log's: a glob would also read files that compaction has replaced.
    connection.execute(
        f"CREATE VIEW events AS SELECT *, coalesce(time, broker_time) AS at FROM read_parquet([{files}], hive_partitioning = false)"
    )
    differ = []
    print(f"{'question':<28} {'rows':>8} {'ours p50':>12} {'duckdb p50':>12} {'ratio':>8}  same")
    for question in ours["results"]:
        sql = question["parameter"].get("sql")
        if sql is None:
            print(f"{question['name']:<28} {question['rows']:>8} {question['p50_ms']:>9.2f} ms {'-':>12} {'-':>8}  -")
            continue
        times, rows = [], []
        for _ in range(max(1, args.repeat)):
            began = time.perf_counter()
            rows = connection.execute(sql).fetchall()
            times.append((time.perf_counter() - began) * 1e3)
        lines = sorted("|".join(shown(value) for value in row) for row in rows)
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        # Of sequences ours gives the first thousand only.
        same = digest == question["sha256"] or (question["rows"] >= 1000 and len(rows) >= question["rows"])
        if not same:
            differ.append(question["name"])
        theirs = statistics.median(times)
        ratio = theirs / max(question["p50_ms"], 1e-9)
        print(
            f"{question['name']:<28} {question['rows']:>8} {question['p50_ms']:>9.2f} ms {theirs:>9.2f} ms {ratio:>7.1f}x  {'yes' if same else 'NO'}"
        )
    if differ:
        sys.exit(f"answers differ: {', '.join(differ)}")


if __name__ == "__main__":
    main()
