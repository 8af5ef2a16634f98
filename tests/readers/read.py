"""Reads the table with another program and prints: rows, sum of offsets, sum of leaves, bytes of data, rows of acme."""

import sys

import duckdb
from deltalake import DeltaTable, QueryBuilder

reader, path = sys.argv[1:]
table = DeltaTable(path)
QUERY = (
    "SELECT count(*), sum({offset}), sum(leaf_index), sum(octet_length({data})),"
    " sum(CASE WHEN tenant = 'acme' THEN 1 ELSE 0 END) FROM {source}"
)
if reader == "deltalake":
    text = QUERY.format(offset='"offset"', data="data", source="t")
    batches = QueryBuilder().register("t", table).execute(text).read_all()
    row = [batches[name][0].as_py() if hasattr(batches[name][0], "as_py") else batches[name][0] for name in batches.schema.names]
elif reader == "duckdb":
    # Which files are the table's is said by its log; a pattern would find those too that compaction has replaced.
    text = QUERY.format(offset='"offset"', data="data::BLOB", source="read_parquet($files)")
    row = duckdb.execute(text, {"files": table.file_uris()}).fetchone()
elif reader == "delete":
    table.delete("tenant = 'other'")
    row = []
else:
    sys.exit(f"unknown reader `{reader}`")
print(*(int(value) for value in row))
