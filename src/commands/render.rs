//! `driftline render`: the files that make a Prometheus, an Alertmanager and a Grafana watch this configuration.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::RenderArgs;
use crate::config::Loaded;
use crate::exit::Usage;

/// Writes every file below `--out` and lists them.
///
/// # Errors
/// Where the configuration has no SLO file, or the folder cannot be written.
pub fn run(args: &RenderArgs) -> anyhow::Result<ExitCode> {
    let mut loaded = Loaded::read(&args.config)?;
    super::check::all(&mut loaded)?;
    let slo = loaded.slo.as_ref().ok_or_else(|| {
        Usage(
            "slo_file: is not given, and rules are rendered from it; deploy/slo/starter.yaml is one to start from"
                .into(),
        )
    })?;
    let mut out = std::io::stdout().lock();
    for note in alerts::slo_file::notes(slo) {
        writeln!(out, "note: {note}")?;
    }
    let alert_files = alerts::render(slo, &options(args, &loaded)).into_iter().map(|f| (f.path, f.contents));
    let dashboard_files = dashboards::render_with(&grafana(&loaded)).into_iter().map(|f| (f.path, f.contents));
    for (path, contents) in alert_files.chain(dashboard_files) {
        let path = args.out.join(path);
        let folder = path.parent().context("a rendered file lies in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        std::fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where Grafana finds the database: a server's URL, or where the embedded engine last listened.
fn grafana(loaded: &Loaded) -> dashboards::Options {
    let store = &loaded.raw.store;
    let address = std::fs::read_to_string(store.data_dir.join("address")).ok();
    let url = store.url.clone().or(address).unwrap_or_default();
    let defaults = dashboards::Options {
        database: store.database.clone(),
        period_days: loaded.slo.as_ref().map_or(dashboards::Options::default().period_days, |slo| slo.period_days),
        ..dashboards::Options::default()
    };
    let authority = url.trim().trim_start_matches("http://").trim_end_matches('/');
    match authority.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => {
            dashboards::Options { clickhouse_host: host.to_owned(), clickhouse_port: port, ..defaults }
        }
        _ => defaults,
    }
}

fn options(args: &RenderArgs, loaded: &Loaded) -> alerts::Options {
    let raw = &loaded.raw;
    let or = |given: &Option<String>, listen: &dyn ToString| given.clone().unwrap_or_else(|| listen.to_string());
    let analyzer = or(&args.analyzer, &raw.analyzer.listen);
    let page = format!("http://{analyzer}");
    alerts::Options {
        proxy: vec![or(&args.proxy, &raw.proxy.listen)],
        collector: vec![or(&args.collector, &raw.collector.listen)],
        runbook_base: args.runbooks.clone().unwrap_or_else(|| format!("{page}/runbooks")),
        dashboard_base: page,
        compat_sloth: args.compat == Some(crate::cli::Compat::Sloth),
        analyzer: vec![analyzer],
        alertmanager: vec![args.alertmanager.clone()],
        webhooks: alerts::Webhooks {
            page: args.webhook.clone(),
            ticket: args.webhook.clone(),
            info: args.webhook.clone(),
            model: args.model_webhook.clone(),
        },
    }
}
