//! The `pleach` command.

fn main() -> std::process::ExitCode {
    pleach_coordinator::cli::main()
}
