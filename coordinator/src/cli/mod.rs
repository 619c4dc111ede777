//! The command line.

#[cfg(feature = "local")]
mod bench;
mod check;
mod client;
mod error;
#[cfg(feature = "local")]
mod evaluate;
mod inspect;
mod progress;
#[cfg(feature = "local")]
mod run;
mod serve;
mod table;

pub use error::CliError;

use clap::{Args, Parser, Subcommand, ValueEnum};
use client::Client;
use std::path::PathBuf;
use std::process::ExitCode;

/// Prune neural networks to a budget on the hardware that they will run on.
#[derive(Debug, Parser)]
#[command(
    name = "pleach",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  pleach run experiments/quickstart.yaml        everything in one process, on this machine
  pleach check experiments/quickstart.yaml      what it would do, without doing it
  pleach coordinator --listen 127.0.0.1:7420    a coordinator, for workers and clients to attach to
  pleach submit FILE && pleach watch ID         an experiment for it

Exit codes: 0 done, 1 the work failed, 2 the command line or a file must change.
PLEACH_LOG sets the log filter, such as PLEACH_LOG=debug."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run an experiment on this machine: coordinator and workers in one process.
    #[cfg(feature = "local")]
    Run(run::RunArgs),
    /// Check a document without running it: the resolved document, costs, whether the budget can be reached.
    Check(check::CheckArgs),
    /// Look inside a network, a model, a checkpoint or an ONNX file.
    Inspect(inspect::InspectArgs),
    /// Evaluate a document's model on one split.
    #[cfg(feature = "local")]
    Evaluate(evaluate::EvaluateArgs),
    /// Serve experiments to workers and clients.
    Coordinator(serve::CoordinatorArgs),
    /// Work for a coordinator.
    #[cfg(feature = "local")]
    Worker(pleach_worker::agent::WorkerArgs),
    /// Submit an experiment; prints its id.
    Submit(SubmitArgs),
    /// List experiments.
    Ls(Remote),
    /// Show an experiment's summary.
    Show(OneArgs),
    /// Follow an experiment until it ends.
    Watch(OneArgs),
    /// Cancel an experiment; its results are kept.
    Cancel(OneArgs),
    /// Start a cancelled or failed experiment again where it stopped.
    Resume(OneArgs),
    /// List the attached workers.
    Workers(Remote),
    /// Write an experiment's best model, or its report.
    Export(ExportArgs),
    /// Measure this machine: training, evaluation, and tasks through the coordinator.
    #[cfg(feature = "local")]
    Bench(bench::BenchArgs),
}

/// What all commands that talk to a coordinator take.
#[derive(Debug, Clone, Args)]
struct Remote {
    /// Address of the coordinator.
    #[arg(long, env = "PLEACH_COORDINATOR", default_value = "http://127.0.0.1:7420")]
    coordinator: String,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs. The names are an interface.
    Json,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The experiment: its id, or the start of it.
    id: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct SubmitArgs {
    /// The YAML document. Paths in it are relative to it.
    file: PathBuf,
    /// Follow it until it ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pleach export fashion-vgg --model out.safetensors --report report/
  pleach export fashion-vgg --format onnx --model out.onnx
  pleach export out.safetensors --format onnx             a model file; writes out.onnx beside it")]
struct ExportArgs {
    /// The experiment: its id, or the start of it. Or a model file.
    id: String,
    /// Where to write the model; ID.FORMAT here unless given.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Its format; that of --model's name unless given.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where to write the report: a folder.
    #[arg(long)]
    report: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// How to write a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The weights as tensors, the network as JSON in the metadata.
    Safetensors,
    /// For other runtimes.
    Onnx,
}

/// Reads the command line, does it, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let default = if matches!(cli.command, Command::Coordinator(_)) || is_worker(&cli.command) {
        "warn,pleach_coordinator=info,pleach_worker=info"
    } else {
        "warn"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLEACH_LOG").unwrap_or_else(|_| default.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(progress::is_terminal()).init();
    #[cfg(feature = "local")]
    pleach_worker::agent::log_panics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(dispatch(cli.command));
    // Computing threads may be in the middle of a task that nobody waits for any more.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.code())
        }
    }
}

fn is_worker(command: &Command) -> bool {
    #[cfg(feature = "local")]
    return matches!(command, Command::Worker(_));
    #[cfg(not(feature = "local"))]
    return {
        let _ = command;
        false
    };
}

async fn dispatch(command: Command) -> Result<(), CliError> {
    match command {
        #[cfg(feature = "local")]
        Command::Run(args) => run::run(args).await,
        Command::Check(args) => check::check(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        #[cfg(feature = "local")]
        Command::Evaluate(args) => evaluate::evaluate(args).await,
        Command::Coordinator(args) => serve::serve(args).await,
        #[cfg(feature = "local")]
        Command::Worker(args) => args.run().await.map_err(|error| CliError::failed(error.to_string())),
        Command::Submit(args) => submit(args).await,
        Command::Ls(remote) => {
            let experiments = Client::connect(&remote.coordinator).await?.list().await?;
            table::experiments(&experiments, remote.output);
            Ok(())
        }
        Command::Show(args) => {
            let (summary, _, _) = Client::connect(&args.remote.coordinator).await?.get(&args.id).await?;
            table::summary(&summary, args.remote.output)
        }
        Command::Watch(args) => {
            let mut client = Client::connect(&args.remote.coordinator).await?;
            watch(&mut client, &args.id, args.remote.output).await
        }
        Command::Cancel(args) => Client::connect(&args.remote.coordinator).await?.cancel(&args.id).await,
        Command::Resume(args) => Client::connect(&args.remote.coordinator).await?.resume(&args.id).await,
        Command::Workers(remote) => {
            let workers = Client::connect(&remote.coordinator).await?.workers().await?;
            table::workers(&workers, remote.output);
            Ok(())
        }
        Command::Export(args) => export(args).await,
        #[cfg(feature = "local")]
        Command::Bench(args) => bench::bench(args).await,
    }
}

async fn submit(args: SubmitArgs) -> Result<(), CliError> {
    let prepared = crate::submit::prepare(&args.file)?;
    let mut client = Client::connect(&args.remote.coordinator).await?;
    let id = client.submit(&prepared).await?;
    if args.watch {
        eprintln!("submitted {id}");
        return watch(&mut client, &id, args.remote.output).await;
    }
    match args.remote.output {
        Output::Table => println!("{id}"),
        Output::Json => println!("{}", serde_json::json!({ "id": id })),
    }
    Ok(())
}

/// Follows an experiment, then prints its summary. A failed experiment is this command's failure.
async fn watch(client: &mut Client, id: &str, output: Output) -> Result<(), CliError> {
    client.watch(id).await?;
    let (summary, _, _) = client.get(id).await?;
    table::summary(&summary, output)?;
    ended(&summary)
}

/// An error unless the experiment finished.
fn ended(summary: &crate::report::Summary) -> Result<(), CliError> {
    match (summary.state.as_str(), &summary.error) {
        ("finished", _) => Ok(()),
        (state, Some(error)) => Err(CliError::failed(format!("experiment {} {state}: {error}", summary.id))),
        (state, None) => Err(CliError::failed(format!("experiment {} was {state}", summary.id))),
    }
}

async fn export(args: ExportArgs) -> Result<(), CliError> {
    let source = PathBuf::from(&args.id);
    let (name, model) = match source.is_file() {
        true => {
            if args.report.is_some() {
                return Err(CliError::usage("a model file has no report").help("name an experiment, or leave out --report"));
            }
            let bytes = std::fs::read(&source).map_err(|error| CliError::usage(format!("cannot read {}: {error}", source.display())))?;
            (source.with_extension("").display().to_string(), Some(bytes))
        }
        false => {
            let mut client = Client::connect(&args.remote.coordinator).await?;
            let (summary, document, model) = client.get(&args.id).await?;
            let model = match model {
                Some(blob) => Some(client.blob(blob).await?),
                None => None,
            };
            if let Some(folder) = &args.report {
                crate::report::write(folder, &summary, &document, model.as_deref())
                    .map_err(|error| CliError::usage(format!("cannot write the report to {}: {error}", folder.display())))?;
            }
            (summary.id, model)
        }
    };
    // The report holds the model already; without one asked for, the model is what is wanted.
    let wanted = args.model.is_some() || args.format.is_some() || args.report.is_none();
    let mut written = None;
    if wanted {
        let model = model
            .ok_or_else(|| CliError::failed(format!("experiment {name} has no model yet")).help("`pleach watch` tells when it has"))?;
        let named = args.model.as_ref().and_then(|path| path.extension()).is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        let format = args.format.unwrap_or(if named { Format::Onnx } else { Format::Safetensors });
        let (bytes, extension) = match format {
            Format::Safetensors => (model, "safetensors"),
            Format::Onnx => {
                let decoded =
                    pleach_shared::model::Model::decode(&model).map_err(|error| CliError::usage(format!("{}: {error}", args.id)))?;
                let bytes = pleach_shared::onnx::export(&decoded).map_err(|error| CliError::failed(format!("{}: {error}", args.id)))?;
                (bytes, "onnx")
            }
        };
        let path = args.model.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.{extension}")));
        std::fs::write(&path, bytes).map_err(|error| CliError::usage(format!("cannot write {}: {error}", path.display())))?;
        written = Some(path);
    }
    match args.remote.output {
        Output::Json => println!("{}", serde_json::json!({ "id": name, "model": written, "report": args.report })),
        Output::Table => {
            for path in written.iter().chain(&args.report) {
                println!("{}", path.display());
            }
        }
    }
    Ok(())
}
