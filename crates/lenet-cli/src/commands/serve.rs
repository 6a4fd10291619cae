//! `lenet serve`.

use crate::args::ServeArgs;
use crate::failure::{Failure, file_error};
use crate::terminal::print_line;
use lenet::train::layout::RUNS;
use lenet_serve::{LoadError, Options, ServeError, Server, Source, Token};
use std::path::PathBuf;

pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let sources: Result<Vec<Source>, LoadError> = args.models.iter().map(|m| Source::parse(m)).collect();
    let token = token(&args)?;
    if args.open && token.is_none() && !args.addr.ip().is_loopback() {
        eprintln!("warning: whoever reaches {} may use this server: there is no token, and no encryption", args.addr);
    }
    let usual = || Some(PathBuf::from(RUNS)).filter(|dir| args.allow_training || dir.is_dir());
    let runs = args.runs.clone().or_else(usual);
    let trainer = match args.allow_training {
        true => Some(std::env::current_exe().map_err(|e| Failure::Failed(format!("cannot find this program: {e}")))?),
        false => None,
    };
    let options = Options {
        address: args.addr,
        token,
        open: args.open,
        threads: args.threads,
        queue: args.queue,
        max_body: args.max_body,
        log_requests: !args.quiet,
        runs,
        trainer,
        ..Options::default()
    };
    let server = Server::start(sources.map_err(ServeError::Load)?, options)?;
    for (name, path, parameters) in server.models() {
        eprintln!("{name}: {}, {parameters} parameters", path.display());
    }
    // The one line of output: a script that gave port 0 reads it.
    print_line(&format!("http://{}", server.address()))?;
    server.wait();
    Ok(())
}

/// The token of the file, or else of the environment.
fn token(args: &ServeArgs) -> Result<Option<Token>, Failure> {
    let (text, place) = match &args.token_file {
        Some(path) => (std::fs::read_to_string(path).map_err(file_error("read", path))?, path.display().to_string()),
        None => match std::env::var("LENET_TOKEN") {
            Ok(text) => (text, "LENET_TOKEN".to_string()),
            Err(_) => return Ok(None),
        },
    };
    Token::new(&text).map(Some).map_err(|e| Failure::Usage(format!("{place}: {e}")))
}

impl From<ServeError> for Failure {
    fn from(e: ServeError) -> Self {
        match e {
            ServeError::Unprotected(_) | ServeError::Load(LoadError::Name(_) | LoadError::Twice(_)) => {
                Failure::Usage(e.to_string())
            }
            e => Failure::Failed(e.to_string()),
        }
    }
}
