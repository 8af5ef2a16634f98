//! Places where tests let the process die, stop or fail. Without the feature `failpoints`, which only tests ask for,
//! nothing is there. `FAILPOINTS="commit-before=3*off->return(abort)"` (crate `fail`); what may be returned is
//! `abort` (as `kill -9` would), `stop` (as `kill -STOP` would, so that the test knows where) and `eio`.

use std::io;

/// A place in the code.
#[cfg(not(feature = "failpoints"))]
#[allow(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
pub(crate) const fn io(_name: &'static str) -> io::Result<()> {
    Ok(())
}

/// A place in the code.
#[cfg(feature = "failpoints")]
pub(crate) fn io(name: &'static str) -> io::Result<()> {
    static SCENARIO: std::sync::Once = std::sync::Once::new();
    // What the environment says, read once and kept to the end.
    SCENARIO.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    fail::eval(name, |what| act(name, what.as_deref().unwrap_or_default())).unwrap_or(Ok(()))
}

#[cfg(feature = "failpoints")]
fn act(name: &str, what: &str) -> io::Result<()> {
    tracing::warn!(name, what, "fail point");
    match what {
        "abort" => std::process::abort(),
        "stop" => {
            let own = std::process::id().to_string();
            std::process::Command::new("kill").args(["-STOP", &own]).status().map(drop)
        }
        "eio" => Err(io::Error::from_raw_os_error(5)),
        other => Err(io::Error::other(format!("fail point `{name}`: `{other}`"))),
    }
}
