"""What it costs a peer to make the same events queryable: one NDJSON file in, its own columnar files out.

Usage: ndjson.py duckdb|chdb EVENTS.ndjson DIRECTORY. Prints one JSON object: CPU seconds of this process, seconds on
the wall, rows, bytes of the contents and bytes on disk. Each line has the event's attributes and its data as a text; the
columns that Ambit keeps beside the data are taken out of it here too.
"""

import json
import os
import resource
import sys
import time

COLUMNS = {
    "tenant": "$.tenant_uid",
    "agent": "$.ai_agent.uid",
    "task": "$.task.id",
    "root_task": "$.task.root_id",
    "tool": "$.tool_call.name",
    "tool_call": "$.tool_call.id",
}


def duckdb(source, directory):
    import duckdb as engine

    connection = engine.connect()
    connection.execute("SET threads = 2")
    texts = ", ".join(f"json_extract_string(data, '{path}') AS {name}" for name, path in COLUMNS.items())
    target = os.path.join(directory, "events.parquet")
    connection.execute(
        f"""COPY (SELECT id, source, type, time, data, {texts} FROM read_json('{source}', format = 'newline_delimited',
            columns = {{id: 'VARCHAR', source: 'VARCHAR', type: 'VARCHAR', time: 'TIMESTAMP', data: 'VARCHAR'}}))
            TO '{target}' (FORMAT parquet, COMPRESSION zstd)"""
    )
    with open(target, "rb+") as file:
        os.fsync(file.fileno())
    return lambda: connection.execute(f"SELECT count(*), sum(strlen(data)) FROM '{target}'").fetchone()


def chdb(source, directory):
    from chdb import session

    engine = session.Session(os.path.join(directory, "chdb"))
    engine.query("CREATE DATABASE bench ENGINE = Atomic")
    keys = {name: path.removeprefix("$.").split(".") for name, path in COLUMNS.items()}
    texts = ", ".join(
        "JSONExtractString(data, " + ", ".join(f"'{key}'" for key in path) + f") AS {name}" for name, path in keys.items()
    )
    layout = ", ".join(f"{name} String" for name in COLUMNS)
    engine.query(
        f"""CREATE TABLE bench.events (id String, source String, type String, time DateTime64(6), data String, {layout})
            ENGINE = MergeTree ORDER BY (tenant, agent, time) SETTINGS fsync_after_insert = 1"""
    )
    engine.query(
        f"""INSERT INTO bench.events SELECT id, source, type, parseDateTime64BestEffort(time, 6), data, {texts}
            FROM file('{source}', JSONEachRow, 'id String, source String, type String, time String, data String')
            SETTINGS max_threads = 2, max_insert_threads = 2"""
    )

    def check():
        text = str(engine.query("SELECT count(), sum(length(data)) FROM bench.events", "TSV"))
        return tuple(int(field) for field in text.split())

    return check


def size(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(size(os.path.join(path, name)) for name in os.listdir(path))


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    peer, source, directory = sys.argv[1:]
    work = {"duckdb": duckdb, "chdb": chdb}[peer]
    __import__(peer)
    started, used = time.monotonic(), cpu()
    check = work(source, directory)
    took = {"cpu_seconds": cpu() - used, "wall_seconds": time.monotonic() - started}
    rows, content = check()
    print(json.dumps({**took, "rows": rows, "content_bytes": int(content), "stored_bytes": size(directory)}))


main()
