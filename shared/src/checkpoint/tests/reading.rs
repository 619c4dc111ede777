//! What honest files give.

use super::super::{CheckpointError, Dtype, Format, Names, Rule, fit, read};
use super::{DEFLATED, LEGACY, LEGACY4, TRAINING, ZIP, checkpoint};
use crate::network::zoo::{ShortcutKind, resnet};
use safetensors::tensor::{Dtype as Stored, TensorView};
use std::path::Path;

fn bytes<const N: usize, T: Copy>(values: &[T], convert: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| convert(value)).collect()
}

/// The values are in `make.py`.
#[test]
fn both_containers_give_every_dtype_view_and_shared_storage() {
    for (file, format) in [(ZIP, Format::Torch), (DEFLATED, Format::Torch), (LEGACY, Format::TorchLegacy), (LEGACY4, Format::TorchLegacy)] {
        let read = read(file).unwrap();
        assert_eq!((read.format, read.path.as_str(), read.tensors.len()), (format, "", 13));
        assert_eq!(read.order[..3], ["conv.weight", "bn.weight", "bn.num_batches_tracked"], "in the file's order");
        let tensor = |name: &str| (read.tensors[name].shape.clone(), read.tensors[name].data.clone(), read.dtypes[name]);
        assert_eq!(tensor("conv.weight"), (vec![2, 1, 2, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], Dtype::F32));
        assert_eq!(tensor("bn.num_batches_tracked"), (vec![], vec![7.0], Dtype::I64));
        assert_eq!(tensor("half"), (vec![3], vec![0.0, 1.0, 2.0], Dtype::F16));
        assert_eq!(tensor("brain"), (vec![3], vec![1.0, 2.0, 3.0], Dtype::Bf16));
        assert_eq!(tensor("double"), (vec![2], vec![-1.0, 0.0], Dtype::F64));
        assert_eq!(tensor("bytes"), (vec![2], vec![-1.0, 0.0], Dtype::I8));
        assert_eq!(tensor("bools"), (vec![2], vec![1.0, 0.0], Dtype::Bool));
        assert_eq!(tensor("transposed").1, [0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]);
        assert_eq!(tensor("window"), (vec![2, 2], vec![5.0, 6.0, 9.0, 10.0], Dtype::F32), "rows 1 and 2, columns 1 and 2 of 3x4");
        assert_eq!(tensor("expanded"), (vec![2, 3], vec![5.0, 6.0, 7.0, 5.0, 6.0, 7.0], Dtype::F32));
        assert_eq!(tensor("tied").0, [3, 4]);
        assert_eq!(tensor("parameter"), (vec![2], vec![0.0, 1.0], Dtype::F32));
    }
}

#[test]
fn the_state_dict_is_found_beside_the_optimizer_and_odd_values() {
    let read = read(TRAINING).unwrap();
    assert_eq!(read.path, "model");
    assert_eq!(
        read.order,
        [
            "module.conv.weight",
            "module.conv.bias",
            "module.bn.weight",
            "module.bn.bias",
            "module.bn.running_mean",
            "module.bn.running_var",
            "module.bn.num_batches_tracked"
        ]
    );
    assert_eq!(read.tensors["module.bn.running_var"].data, [4.5, 4.5], "5, and one batch of zeros");
}

#[test]
fn safetensors_give_every_dtype() {
    let data = [
        ("double", Stored::F64, bytes(&[-1.5f64, 2.0], f64::to_le_bytes)),
        ("half", Stored::F16, bytes(&[half::f16::from_f32(-1.5), half::f16::from_f32(2.0)], half::f16::to_le_bytes)),
        ("brain", Stored::BF16, bytes(&[half::bf16::from_f32(-1.5), half::bf16::from_f32(2.0)], half::bf16::to_le_bytes)),
        ("float", Stored::F32, bytes(&[-1.5f32, 2.0], f32::to_le_bytes)),
    ];
    let mut views: Vec<_> = data.iter().map(|(name, dtype, bytes)| (*name, TensorView::new(*dtype, vec![2], bytes).unwrap())).collect();
    let counter = 7i64.to_le_bytes();
    views.push(("bn.num_batches_tracked", TensorView::new(Stored::I64, vec![], &counter).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    let read = read(&file).unwrap();
    assert_eq!(read.format, Format::Safetensors);
    for name in ["double", "half", "brain", "float"] {
        assert_eq!(read.tensors[name].data, [-1.5, 2.0], "{name}");
    }
    assert_eq!((read.dtypes["brain"], read.dtypes["bn.num_batches_tracked"]), (Dtype::Bf16, Dtype::I64));
    assert_eq!(read.tensors["bn.num_batches_tracked"].data, [7.0]);
    let complex = TensorView::new(Stored::C64, vec![1], &counter).unwrap();
    let file = safetensors::serialize([("wave", complex)], None).unwrap();
    insta::assert_snapshot!(super::super::read(&file).unwrap_err(), @"its tensor wave has elements of type C64, expected plain floats or integers; convert it with `.float()` and save it again");
}

/// Weights from Idelbayev's repository, written by PyTorch 1.0 or so from Python 3 on a GPU.
#[test]
fn the_published_resnet20_fits_its_network() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/checkpoints/resnet20-12fca82f.th");
    let Ok(file) = std::fs::read(&path) else {
        println!("skipped: {} is not here", path.display());
        return;
    };
    let read = read(&file).unwrap();
    assert_eq!((read.format, read.path.as_str()), (Format::TorchLegacy, "state_dict"));
    let network = resnet(20, 1.0, ShortcutKind::A, [3, 32, 32], 10).unwrap();
    let fitted = fit(&network, &read, &Names::default()).unwrap();
    assert!(fitted.matches.iter().all(|found| found.rule == Rule::Prefix && found.tensor == format!("module.{}", found.parameter)));
    assert_eq!(fitted.matches.len(), network.parameters().unwrap().len());
    // What PyTorch 2.15 prints for these.
    let tensors = &fitted.model.tensors;
    let sum = |name: &str| tensors[name].data.iter().map(|&value| f64::from(value)).sum::<f64>();
    assert!((sum("conv1.weight") - 1.310_098).abs() < 1e-4, "{}", sum("conv1.weight"));
    assert!((sum("linear.bias") - 3.444e-5).abs() < 1e-4, "{}", sum("linear.bias"));
    let first = &tensors["layer3.2.conv2.weight"].data[..3];
    assert!(first.iter().zip([0.023_041_606, 0.010_070_728, 0.005_063_281]).all(|(a, b)| (a - b).abs() < 1e-6), "{first:?}");
}

#[test]
fn what_is_not_finite_or_empty_is_listed() {
    let mut broken = checkpoint(&[("conv.weight", &[2]), ("fc.weight", &[3]), ("fc.bias", &[1])]);
    broken.tensors.get_mut("fc.weight").unwrap().data = vec![f32::NAN, 1.0, f32::INFINITY];
    broken.tensors.get_mut("fc.bias").unwrap().data = vec![f32::NAN];
    insta::assert_snapshot!(broken.check_finite().unwrap_err(), @r"
    2 of its tensors hold values that are not finite; train it anew, or take an earlier checkpoint:
      fc.bias    1 NaN or infinite
      fc.weight  2 NaN or infinite
    ");
    assert!(
        matches!(checkpoint(&[("a", &[2, 0])]).check_finite(), Err(CheckpointError::Empty(list)) if list == [("a".into(), vec![2, 0])])
    );
}

#[test]
fn other_files_are_called_by_their_names() {
    let found = |bytes: &[u8]| match read(bytes).unwrap_err() {
        CheckpointError::NotACheckpoint { found } => found,
        error => panic!("{error}"),
    };
    assert_eq!(found(b""), "an empty file");
    assert_eq!(found(b"<!DOCTYPE html>"), "a web page (the download went wrong)");
    assert_eq!(found(b"version https://git-lfs.github.com/spec/v1\n"), "a pointer of Git LFS (run `git lfs pull`)");
    assert_eq!(found(b"\x80\x02}."), "a plain pickle, which `torch.save` did not write");
    assert_eq!(found(b"conv1 has 16 channels\n"), "of an unknown format");
    insta::assert_snapshot!(read(b"").unwrap_err(), @"it is an empty file, expected weights as PyTorch or safetensors files hold them; write them with `torch.save(model.state_dict(), FILE)` or `safetensors.torch.save_file(model.state_dict(), FILE)`");
}
