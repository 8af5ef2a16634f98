//! How columns are kept: which are compressed how, which have statistics and bloom filters.
//!
//! Encoding and compression are what limits ingest, so each choice pays for itself: dictionaries only where values
//! repeat, statistics only where readers prune by them, bloom filters only on ids that people look up.

use ambit_schemas::columns::{PARTITION_COLUMN, names, schema};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;

/// Rows of one row group: large enough for good compression, small enough to prune by.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of one page of a compacted file: what must be read to get at one row.
const COMPACTED_PAGE_ROWS: usize = 4_096;
/// How often the page limit is looked at.
const WRITE_BATCH_ROWS: usize = 1_024;
/// Compacted files are in this order.
pub(crate) const SORTED_BY: [&str; 3] = [names::TENANT, names::AGENT, names::TIME];
/// False positives of the bloom filters, and how many distinct values they are sized for.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
const BLOOM_DISTINCT: u64 = 20_000;

/// Columns in which almost no value comes twice.
const UNIQUE: [&str; 4] = [names::LEAF_HASH, names::DATA, names::RAW, names::ID];
/// Columns that grow steadily.
const GROWING: [&str; 5] =
    [names::OFFSET, names::LEAF_INDEX, names::RECORDED_AT, names::BROKER_TIME, names::TIME];
/// Columns that readers prune by.
const PRUNED: [&str; 9] = [
    names::TOPIC,
    names::PARTITION,
    names::LEAF_INDEX,
    names::TIME,
    names::KIND,
    names::AGENT,
    names::ROOT_TASK,
    names::TASK,
    names::TOOL,
];
/// Ids that people look up.
const LOOKED_UP: [&str; 5] = [names::ID, names::AGENT, names::TASK, names::ROOT_TASK, names::FINDING];

/// The schema of a data file: all columns but the partition.
pub(crate) fn file_schema() -> SchemaRef {
    let fields: Vec<_> =
        schema().fields().iter().filter(|field| field.name() != PARTITION_COLUMN).cloned().collect();
    Arc::new(Schema::new(fields))
}

/// How ingest writes: fast.
pub(crate) fn fresh_properties() -> WriterProperties {
    properties(BLOOM_DISTINCT).build()
}

/// How compaction writes: for those who look something up. Small pages, so that the page index finds few rows.
pub(crate) fn compacted_properties(schema: &Schema) -> WriterProperties {
    let mut builder = properties(ROW_GROUP_ROWS as u64)
        .set_data_page_row_count_limit(COMPACTED_PAGE_ROWS)
        .set_write_batch_size(WRITE_BATCH_ROWS);
    for name in [names::TENANT, names::CREDENTIAL, names::TOOL_CALL, names::OFFSET] {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page);
    }
    for name in [names::CREDENTIAL, names::TOOL_CALL] {
        builder = builder
            .set_column_bloom_filter_enabled(ColumnPath::from(name), true)
            .set_column_bloom_filter_fpp(ColumnPath::from(name), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(name), BLOOM_DISTINCT);
    }
    let sorted = SORTED_BY.iter().filter_map(|name| {
        let column_idx = i32::try_from(schema.index_of(name).ok()?).ok()?;
        Some(SortingColumn { column_idx, descending: false, nulls_first: true })
    });
    builder.set_sorting_columns(Some(sorted.collect())).build()
}

fn properties(distinct: u64) -> WriterPropertiesBuilder {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_created_by("ambit".into());
    for name in UNIQUE {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    // A hash does not compress.
    builder = builder.set_column_compression(ColumnPath::from(names::LEAF_HASH), Compression::UNCOMPRESSED);
    for name in GROWING {
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(name), false)
            .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in PRUNED {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page);
    }
    for name in LOOKED_UP {
        builder = builder
            .set_column_bloom_filter_enabled(ColumnPath::from(name), true)
            .set_column_bloom_filter_fpp(ColumnPath::from(name), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(ColumnPath::from(name), distinct);
    }
    builder
}
