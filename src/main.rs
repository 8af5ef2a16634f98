//! The program: reads the command line, sets up logging, runs the command, says how it went by its exit code.

use ambit::cli::{Cli, Command, ConfigCommand, WitnessCommand};
use ambit::commands;
use ambit::config::{self, Config};
use ambit::demo;
use ambit::output::{print, print_error, sentence};
use ambit::roles::up::{self, Role};
use ambit::roles::witness;
use ambit_query_api::resolve;
use anyhow::{Context, anyhow};
use clap::Parser;
use mimalloc::MiMalloc;
use std::io::IsTerminal;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            print_error(&format!("ambit: {}", sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = Config::load(&cli)?;
    log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(dispatch(cli.command, config));
    // All of our own tasks have ended, in order. What may be left is a library's reader of the table's log whose query
    // was given up; to take the runtime from under it would make it panic, so the process ends with both.
    std::mem::forget(runtime);
    code
}

/// Logs go to standard error, so that what a command prints can be piped.
fn log(config: &Config) -> anyhow::Result<()> {
    // deltalake and its kernel tell at every commit what only their developers want to know.
    let filter = format!(
        "{},deltalake_core=warn,delta_kernel=warn,buoyant_kernel=warn,datafusion=warn",
        config.log.filter
    );
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!(
            "`--log` (`log.filter`) cannot be `{}`: give error, warn, info, debug, trace, or filters such as \
             `ambit_ingest=debug`",
            config.log.filter
        )
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log.json {
        lines.json().init();
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    }
    Ok(())
}

async fn dispatch(command: Command, mut config: Config) -> anyhow::Result<ExitCode> {
    if !matches!(command, Command::Config(_) | Command::Eval(_) | Command::Rules(_)) {
        config::check(&config)?;
    }
    match command {
        Command::Up(args) => {
            if let Some(listen) = &args.listen {
                config.api.listen = resolve(listen).map_err(|why| anyhow!("`--listen`: {why}"))?;
            }
            up::run(config, args.url_file.as_deref()).await?;
        }
        Command::Demo(args) => demo::run(config, &args).await?,
        Command::Gateway => up::run_role(config, Role::Gateway).await?,
        Command::Ingest => up::run_role(config, Role::Ingest).await?,
        Command::Analyze => up::run_role(config, Role::Analyze).await?,
        Command::Enforce => up::run_role(config, Role::Enforce).await?,
        Command::Serve => up::run_role(config, Role::Serve).await?,
        Command::Witness(args) => match args.command {
            None => up::run_role(config, Role::Witness).await?,
            Some(WitnessCommand::Key) => print(&witness::signer(&config)?.public_key().to_string()),
            Some(WitnessCommand::Log) => print(witness::introduction(&config)?.trim_end()),
        },
        Command::Simulate(args) => commands::simulate::run(&config, &args, CancellationToken::new()).await?,
        Command::Import(args) => commands::import::run(&config, &args).await?,
        Command::ReplayRuns(args) => commands::replay_runs::run(&config, &args).await?,
        Command::Eval(args) => tokio::task::block_in_place(|| commands::eval::run(&args))?,
        Command::Search(args) => commands::search::run(&config, &args).await?,
        Command::Sql(args) => commands::sql::run(&config, &args).await?,
        Command::Chain(args) => commands::ask::chain(&config, &args).await?,
        Command::Agent(args) => commands::ask::agent(&config, &args).await?,
        Command::Tail(args) => commands::ask::tail(&config, &args).await?,
        Command::Export(args) => commands::ask::export(&config, &args).await?,
        Command::Baseline(command) => commands::baseline::run(&config, &command).await?,
        Command::Replay(args) => return commands::replay::run(&config, &args).await,
        Command::Rules(command) => return commands::rules::run(&config, &command),
        Command::DeadLetters(command) => return commands::dead_letters::run(&config, &command).await,
        Command::Respond(command) => commands::respond::run(&config, &command).await?,
        Command::Verify(args) => return commands::verify::run(&config, &args).await,
        Command::Store(command) => return commands::store::run(&config, &command).await,
        Command::Token(command) => commands::token::run(&config, &command)?,
        Command::Config(ConfigCommand::Check) => {
            config::check(&config)?;
            print("the configuration is valid");
        }
        Command::Config(ConfigCommand::Dump) => print(&toml::to_string(&config)?),
    }
    Ok(ExitCode::SUCCESS)
}
