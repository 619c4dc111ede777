//! The dense network of a document: from the zoo, with or without a checkpoint's weights, or from an ONNX file.

use super::InputError;
use pleach_shared::checkpoint::{self, Checkpoint, Match, Names};
use pleach_shared::model::Model;
use pleach_shared::network::zoo::{self, Options, VggItem};
use pleach_shared::network::{Network, Op, ShapeError};
use pleach_shared::onnx::{self, ImportOptions};
use pleach_shared::spec::{self, ModelSource, Width};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// A network, and what is known of its weights.
#[derive(Debug)]
pub(super) struct Dense {
    pub(super) network: Network,
    /// Where the document brings weights.
    pub(super) model: Option<Model>,
    /// How a checkpoint's names were matched.
    pub(super) matches: Vec<Match>,
}

/// Builds the network of a document. A zoo's network takes its input and classes from the data, an ONNX file has its own.
pub(super) fn dense(model: &spec::Model, document: &Path, folder: &Path) -> Result<Dense, InputError> {
    match &model.source {
        ModelSource::Onnx(file) => {
            let model = onnx(&folder.join(file), model.input, Some("model.onnx"))?;
            Ok(Dense { network: model.network.clone(), model: Some(model), matches: Vec::new() })
        }
        ModelSource::Zoo(name) => {
            let network = build(name, model).map_err(|error| InputError::Network { path: document.into(), error })?;
            let Some(file) = &model.checkpoint else { return Ok(Dense { network, model: None, matches: Vec::new() }) };
            let path = folder.join(file);
            let checkpoint = read(&path, Some("model.checkpoint"))?;
            let fitted = checkpoint::fit(&network, &checkpoint, &Names(model.names.clone()))
                .map_err(|error| InputError::Checkpoint { path, error: Box::new(error) })?;
            Ok(Dense { network, model: Some(fitted.model), matches: fitted.matches })
        }
    }
}

/// The shape of a network's first input, where it is an image.
pub(super) fn input(network: &Network) -> Option<[usize; 3]> {
    network.inputs().find_map(|id| match &network.layers[id].op {
        Op::Input { shape } => shape.as_slice().try_into().ok(),
        _ => None,
    })
}

fn build(name: &str, model: &spec::Model) -> Result<Network, ShapeError> {
    let entry = zoo::find(name).ok_or_else(|| ShapeError { layer: name.into(), op: "zoo", problem: "there is no such network".into() })?;
    let item = |width: &Width| match *width {
        Width::Channels(channels) => VggItem::Conv(channels),
        Width::Pool(_) => VggItem::MaxPool,
    };
    let default = Options::default();
    entry.build(&Options {
        widths: model.widths.iter().flatten().map(item).collect(),
        width: model.width.unwrap_or(default.width),
        shortcut: model.shortcut.unwrap_or(default.shortcut),
        stem: model.stem.unwrap_or(default.stem),
        input: model.input.unwrap_or(entry.default_input()),
        classes: model.classes.unwrap_or(entry.default_classes()),
    })
}

/// Reads a file of weights.
pub(super) fn read(path: &Path, named_by: Option<&'static str>) -> Result<Checkpoint, InputError> {
    let bytes = std::fs::read(path).map_err(|error| InputError::Read { path: path.into(), error, named_by })?;
    checkpoint::read(&bytes).map_err(|error| InputError::Checkpoint { path: path.into(), error: Box::new(error) })
}

/// Reads an ONNX file, and the files beside it that hold its weights.
pub(super) fn onnx(path: &Path, input: Option<[usize; 3]>, named_by: Option<&'static str>) -> Result<Model, InputError> {
    let bytes = std::fs::read(path).map_err(|error| InputError::Read { path: path.into(), error, named_by })?;
    let folder: PathBuf = path.parent().unwrap_or(Path::new(".")).into();
    let external = |file: &str, offset: u64, length: usize| part(&folder.join(file), offset, length);
    let imported = onnx::import(bytes, &ImportOptions { input, external: &external })
        .map_err(|error| InputError::Onnx { path: path.into(), error: Box::new(error) })?;
    for note in &imported.notes {
        eprintln!("note: {}: {note}", path.display());
    }
    Ok(imported.model)
}

/// Exactly `length` bytes of a file. How many there are is looked up first: a broken model may ask for any number.
fn part(path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let end = offset.checked_add(length as u64);
    if end.is_none_or(|end| end > file.metadata().map_or(0, |metadata| metadata.len())) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} is too short", path.display())));
    }
    let mut bytes = vec![0; length];
    file.seek(io::SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
