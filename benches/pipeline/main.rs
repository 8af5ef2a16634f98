//! The claims about speed, measured in one run, on both brokers: what ingest costs beside a raw consumer, what
//! judgement costs, and how long it takes from an agent's action to the webhook that stops it.
//!
//! `make bench`, or `scripts/bench.sh [ingest|fresh|webhook|analyzer|commits] [embedded|kafka]` for a part. Figures are printed
//! beside their targets and written to `target/bench/NAME.json`. A missed target is printed, no failure; a wrong
//! result is a failure. `docs/performance.md` says what was measured and what limits it.

#![allow(clippy::disallowed_methods, reason = "scripts tell the benchmarks by the environment what to do")]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded to four digits when they are told")]

mod analyzer;
mod commits;
mod corpus;
mod cpu;
mod fresh;
mod ingest;
mod lane;
mod load;
mod machine;
mod oracle;
mod peers;
mod program;
mod report;
mod settings;
mod stage;
mod verified;
mod webhook;

use ambit::output::{print, print_error};
use lane::Lane;
use mimalloc::MiMalloc;
use report::Benchmark;
use settings::Settings;
use std::process::ExitCode;

// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(job) = stage::job_of(&args)? {
        return stage::work(&job);
    }
    let settings = Settings::read(args.into_iter())?;
    let machine = machine::describe();
    print(&machine);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut benchmarks: Vec<Benchmark> = Vec::new();
    // Written at once: a failure of a later one does not take it back.
    let mut keep = |measured: Benchmark| measured.write().map(|()| benchmarks.push(measured));
    for lane in Lane::ALL.into_iter().filter(|lane| settings.wants(lane.name())) {
        if settings.wants("ingest") {
            print(&format!("ingest on {}: filling the topic", lane.name()));
            ingest::benchmark(lane, &settings, &runtime)?.map_or(Ok(()), &mut keep)?;
        }
        if settings.wants("fresh") {
            print(&format!("fresh on {}", lane.name()));
            fresh::benchmark(lane, &settings, &runtime)?.map_or(Ok(()), &mut keep)?;
        }
        if settings.wants("webhook") {
            print(&format!("webhook on {}", lane.name()));
            webhook::benchmark(lane, &settings, &runtime)?.map_or(Ok(()), &mut keep)?;
        }
    }
    if settings.wants("analyzer") {
        print("analyzer");
        keep(analyzer::benchmark(&settings)?)?;
    }
    if settings.wants("commits") {
        keep(commits::benchmark(&settings, &runtime)?)?;
    }
    report::print_all(&machine, &benchmarks);
    Ok(())
}
