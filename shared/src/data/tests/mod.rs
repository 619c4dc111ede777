//! The module's specification: decoding in `decoding`, cutting in `cutting`. Builders for both are here.

mod cutting;
mod decoding;

use std::io::Write;

use super::*;

/// An IDX file of unsigned bytes.
fn idx_file(dimensions: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
    bytes.extend(body);
    bytes
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A CIFAR record whose pixels are all `pixel`.
fn record(labels: &[u8], pixel: u8) -> Vec<u8> {
    [labels, &[pixel; 3072]].concat()
}

fn named<'a>(files: &'a [(&'a str, Vec<u8>)]) -> Vec<NamedFile<'a>> {
    files.iter().map(|(name, bytes)| NamedFile { name, bytes }).collect()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}
