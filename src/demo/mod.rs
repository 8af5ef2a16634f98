//! `ambit demo`: everything at once, with a fleet of agents and a receiver that carries out revocations.

pub mod receiver;

use crate::cli::DemoArgs;
use crate::config::Config;
use crate::keys;
use crate::output::print;
use crate::roles::parts::Parts;
use crate::roles::up::Process;
use crate::runtime::supervisor::{OnError, Stage};
use crate::simulate::{Options, Pace, Simulation, Told, now, play};
use ambit_enforcement::receiver::webhook::WebhookOptions;
use ambit_enforcement::{Kind, ReceiverOptions, SecretRef};
use ambit_query_api::resolve;
use anyhow::{Context, anyhow};
use receiver::Taken;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;
use zeroize::Zeroizing;

/// The receiver's name in events and policies.
const RECEIVER: &str = "demo-receiver";
/// Of this many tasks one is attacked.
const ATTACK_EVERY: u32 = 12;
/// The first task that is attacked: a few good ones come before it.
const FIRST_ATTACK: u32 = 6;
/// Tasks that wait to be ended.
const REVOKED_WAITING: usize = 64;

/// Runs the demo.
pub async fn run(mut config: Config, args: &DemoArgs) -> anyhow::Result<()> {
    config.api.listen = resolve(&args.listen).map_err(|why| anyhow!("`--listen`: {why}"))?;
    let receiver = TcpListener::bind(("127.0.0.1", 0)).await.context("the demo's receiver cannot listen")?;
    let address = receiver.local_addr().context("the receiver's address")?;
    let secret_path = config.keys_dir().join("demo-webhook.secret");
    let secret = keys::webhook_secret(&secret_path)?;
    let id = RECEIVER.try_into().context("the receiver's name")?;
    let url = Url::parse(&format!("http://{address}/hooks/ambit")).context("the receiver's URL")?;
    let kind = Kind::Webhook(WebhookOptions { url, secrets: vec![SecretRef::File(secret_path)] });
    config.enforcement.receivers = vec![ReceiverOptions {
        allow_private: true,
        concurrency: 4,
        timeout_ms: 5_000,
        ..ReceiverOptions::new(id, kind)
    }];
    let shutdown = CancellationToken::new();
    config.gateway.enabled = true;
    let mut process = Process::whole(config.clone(), shutdown.clone()).await?;
    print("starting the broker, the store, the analyzer, enforcement and the console");
    let started = start(&mut process, &config, args, (receiver, secret)).await;
    process.run(started).await?;
    print("ended in order; the next start continues where this one stopped");
    Ok(())
}

async fn start(
    process: &mut Process,
    config: &Config,
    args: &DemoArgs,
    (receiver, secret): (TcpListener, Zeroizing<String>),
) -> anyhow::Result<()> {
    let url = process.start(args.url_file.as_deref()).await?.unwrap_or_default();
    print(&format!("\n  console: {url}\n"));
    print("a fleet of agents works; one of them is about to be hijacked (Ctrl-C ends everything in order)\n");

    let (revoked, revocations) = mpsc::channel(REVOKED_WAITING);
    let mut listener = Some((receiver, secret, revoked));
    process.supervisor().spawn(Stage::Serving, RECEIVER, OnError::Stop, move |token| {
        let parts = listener.take();
        async move {
            let Some((listener, secret, revoked)) = parts else { return Ok(()) };
            receiver::run(listener, &secret, revoked, tell_webhook, token).await
        }
    });
    start_fleet(process, config, args, revocations)?;
    if args.seconds > 0 {
        let (limit, shutdown) = (Duration::from_secs(args.seconds), process.shutdown());
        process.supervisor().spawn(Stage::Intake, "time limit", OnError::Stop, move |token| {
            let shutdown = shutdown.clone();
            async move {
                tokio::select! {
                    () = tokio::time::sleep(limit) => shutdown.cancel(),
                    () = token.cancelled() => {}
                }
                Ok(())
            }
        });
    }
    Ok(())
}

fn start_fleet(
    process: &mut Process,
    config: &Config,
    args: &DemoArgs,
    revocations: mpsc::Receiver<ambit_schemas::id::TaskId>,
) -> anyhow::Result<()> {
    let parts = Parts { config };
    let (producer, approver) = (parts.prompt_producer("ambit-demo-fleet")?, parts.approver()?);
    let options = Options {
        seed: 7,
        run: format!("{:x}", now().micros() / 1_000),
        tasks_per_minute: args.tasks_per_minute,
        attack_every: ATTACK_EVERY,
        first_attack: FIRST_ATTACK,
        start: now().plus_micros(500_000),
        ..Options::default()
    };
    let simulation = Arc::new(Mutex::new(Some((Simulation::new(options, approver), revocations))));
    process.supervisor().spawn(Stage::Intake, "fleet", OnError::Stop, move |token| {
        let taken = simulation.lock().unwrap_or_else(PoisonError::into_inner).take();
        let producer = producer.clone();
        async move {
            let Some((mut simulation, revocations)) = taken else { return Ok(()) };
            play(&mut simulation, &producer, Pace::RealTime, 0, revocations, tell_attack, token).await?;
            Ok(())
        }
    });
    Ok(())
}

fn tell_attack(told: &Told) {
    let agent = told.agent.as_deref().and_then(|uid| uid.rsplit('/').next()).unwrap_or("an agent");
    print(&format!("{}  attack     {agent}: {:?}", clock(), told.truth.attack));
}

fn tell_webhook(taken: &Taken) {
    if taken.again {
        return;
    }
    let data = &taken.body.data;
    let after = now().micros_since(taken.body.timestamp) / 1_000;
    print(&format!(
        "{}  webhook    {} ({}): {} [signature good, {after} ms after the action]",
        clock(),
        data.action.name(),
        data.rule_id,
        data.reason
    ));
}

fn clock() -> String {
    now().to_string().get(11..19).unwrap_or_default().to_owned()
}
