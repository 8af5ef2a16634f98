//! The console's files are embedded; the folder must exist even when the console has not been built.

#![allow(clippy::print_stdout, reason = "cargo reads build scripts through their output")]

fn main() -> std::io::Result<()> {
    let dist = std::path::Path::new("../dashboards/dist");
    std::fs::create_dir_all(dist)?;
    println!("cargo:rerun-if-changed={}", dist.display());
    Ok(())
}
