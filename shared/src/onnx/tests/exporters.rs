//! torchvision's networks as PyTorch's two exporters write them. `tests/onnx/make.py` makes the files; weights are made up.

use super::*;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/onnx")
}

/// Small positive numbers, the same ones again and again.
fn made_up(_file: &str, _offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let block: Vec<u8> = (0..1000).flat_map(|place: u32| ((place * 137 % 1000) as f32 / 1e4 + 0.01).to_le_bytes()).collect();
    let mut bytes = block.repeat(length.div_ceil(block.len()));
    bytes.truncate(length);
    Ok(bytes)
}

#[test]
fn torchvisions_networks_are_read_from_both_exporters_with_their_modules_names() {
    let options = ImportOptions { input: None, external: &made_up };
    for line in std::fs::read_to_string(folder().join("table.txt")).unwrap().lines() {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap_or_default();
        let (network, macs, giga): (&str, u64, f64) = (next(), next().parse().unwrap(), next().parse().unwrap());
        let (weighted, norms) = (next(), next());
        assert!((macs as f64 / 1e9 - giga).abs() < 6e-4, "{network}: torchvision says {giga} G");
        for kind in ["script17", "script13bn", "dynamo18"] {
            // Hundreds of megabytes of made-up weights, once each.
            if matches!(network, "alexnet" | "vgg11_bn") && kind != "script13bn" {
                continue;
            }
            let mut bytes = Vec::new();
            let file = std::fs::File::open(folder().join(format!("{network}.{kind}.onnx.gz"))).unwrap();
            flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
            let imported = import(bytes, &options).unwrap_or_else(|error| panic!("{network}.{kind}: {error}"));
            assert!(imported.notes.is_empty(), "{:?}", imported.notes);
            let layers = &imported.model.network.layers;
            assert_eq!(imported.model.network.cost().unwrap().macs, macs, "{network}.{kind}");
            let names =
                |wanted: fn(&Op) -> bool| layers.iter().filter(|layer| wanted(&layer.op)).map(|layer| layer.name.as_str()).collect();
            let found: BTreeSet<&str> = names(|op| op.width().is_some());
            assert_eq!(found, weighted.split(',').collect(), "{network}.{kind}");
            if kind == "script13bn" {
                let found: BTreeSet<&str> = names(|op| matches!(op, Op::BatchNorm2d { .. }));
                assert_eq!(found, norms.split(',').filter(|name| !name.is_empty()).collect(), "{network}.{kind}");
            }
        }
    }
}
