//! What figures were measured on, when, and of which source.

use std::fs;
use std::process::Command;

/// Load of others above which figures are called contended.
const QUIET: f64 = 0.7;

/// The machine, the date and the source, as lines of text. To be called before there is any load of our own.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = file("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()))
        .unwrap_or_else(|| "unknown CPU".to_owned());
    let memory = file("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes >> 20);
    let kernel = file("/proc/sys/kernel/osrelease");
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = if output("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" };
    let load: f64 = file("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let quiet = if load > QUIET { "CONTENDED: others were at work" } else { "quiet" };
    format!(
        "{cores} cores of {cpu}, {memory} GiB, Linux {}, data on {}\n{}, commit {commit}{changed}\nload before: {load} ({quiet})",
        kernel.trim(),
        output("stat", &["--file-system", "--format=%T", &std::env::temp_dir().display().to_string()]),
        output("date", &["--utc", "+%Y-%m-%d %H:%M UTC"]),
    )
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
