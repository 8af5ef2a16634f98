//! `ambit import`: records of other systems, from files into Kafka.

use crate::cli::{ImportArgs, ImportFormat};
use crate::config::Config;
use crate::import::{self, Counts, Options, Outcome, Reads, State, inputs};
use crate::keys;
use crate::output::{print, print_error};
use crate::roles::parts::Parts;
use ambit_schemas::id::TenantId;
use ambit_schemas::redact::RedactionSecret;
use ambit_schemas::sources::Format;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs the command.
pub async fn run(config: &Config, args: &ImportArgs) -> anyhow::Result<()> {
    let found = inputs(&args.paths)?;
    if found.is_empty() {
        bail!(
            "there is no file to import below {}",
            args.paths.first().cloned().unwrap_or_default().display()
        );
    }
    let secret = keys::token(&config.keys_dir().join("redaction.key"))?;
    let options = Options {
        reads: reads(args.format),
        tenant: TenantId::try_from(args.tenant.as_str()).context("--tenant")?,
        origin: args.origin.clone(),
        secret: RedactionSecret::new(secret.as_bytes()),
    };
    let path = args.state.clone().unwrap_or_else(|| config.data_dir.join("import.json"));
    let mut state = State::open(&path)?;
    let producer = Parts { config }.bulk_producer("ambit-import")?;
    let payloads = Parts { config }.payloads()?;
    ambit_bus::ensure_topics(&config.kafka).await?;
    let bar = ProgressBar::new(found.iter().map(|input| input.bytes).sum());
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let outcome = import::run(found, options, &mut state, (&producer, &payloads), &bar).await;
    bar.finish_and_clear();
    state.save()?;
    let Outcome { counts, failed } = outcome?;
    print(&told(&counts));
    for (path, fault) in &failed {
        print_error(&format!("{}: {fault:#}", path.display()));
    }
    if !failed.is_empty() {
        bail!(
            "{} of {} files could not be read to their end",
            failed.len(),
            counts.files + counts.files_done
        );
    }
    Ok(())
}

const fn reads(format: ImportFormat) -> Reads {
    match format {
        ImportFormat::Auto => Reads::Auto,
        ImportFormat::Cloudtrail => Reads::Foreign(Format::CloudTrail),
        ImportFormat::Vault => Reads::Foreign(Format::Vault),
        ImportFormat::Kubernetes => Reads::Foreign(Format::Kubernetes),
        ImportFormat::Github => Reads::Foreign(Format::Github),
        ImportFormat::Mcp => Reads::Foreign(Format::Mcp),
        ImportFormat::Otlp => Reads::Foreign(Format::Otlp),
        ImportFormat::Cloudevents => Reads::CloudEvents,
    }
}

fn told(counts: &Counts) -> String {
    format!(
        "{} files ({} imported before), {} records ({} sent before): {} events, of them {} records kept as they are \
         and {} with a fault; {} secrets taken out, {} contents kept beside their events",
        counts.files + counts.files_done,
        counts.files_done,
        counts.records,
        counts.records_done,
        counts.events,
        counts.opaque,
        counts.dead,
        counts.redactions,
        counts.payloads
    )
}
