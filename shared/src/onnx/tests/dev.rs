use crate::onnx::*;

#[test]
fn dev() {
    let Ok(dir) = std::env::var("PLEACH_DEV") else { return };
    let only = std::env::var("PLEACH_ONLY").unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = path.display().to_string();
        if !text.ends_with(".onnx") || !text.contains(&only) || text.ends_with(".out.onnx") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let t = std::time::Instant::now();
        let d = dir.clone();
        let ext = move |f: &str, o: u64, l: usize| -> std::io::Result<Vec<u8>> {
            let b = std::fs::read(format!("{d}/{f}"))?;
            Ok(b[o as usize..o as usize + l].to_vec())
        };
        match import(bytes, &ImportOptions { input: None, external: &ext }) {
            Ok(imported) => {
                let took = t.elapsed();
                let cost = imported.model.network.cost().unwrap();
                println!(
                    "{text}: layers {} macs {} params {} {took:?} {:?}",
                    imported.model.network.layers.len(),
                    cost.macs,
                    cost.params,
                    imported.notes
                );
                if std::env::var("PLEACH_SHOW").is_ok() {
                    for l in &imported.model.network.layers {
                        println!("    {} {} {:?}", l.name, format!("{:?}", l.op).chars().take(150).collect::<String>(), l.inputs);
                    }
                }
                match export(&imported.model) {
                    Ok(bytes) => std::fs::write(text.replace(".onnx", ".out.onnx"), bytes).unwrap(),
                    Err(e) => println!("    EXPORT {e}"),
                }
            }
            Err(e) => println!("{text}: ERROR {e}"),
        }
    }
}

#[test]
fn dev_tract() {
    use tract_onnx::prelude::*;
    let Ok(dir) = std::env::var("PLEACH_DEV") else { return };
    let model = super::written::every_operator();
    let bytes = export(&model).unwrap();
    std::fs::write(format!("{dir}/every.bin"), &bytes).unwrap();
    let mut m = tract_onnx::onnx().model_for_read(&mut bytes.as_slice()).unwrap();
    m.set_input_fact(0, f32::fact([1, 4, 12, 12]).into()).unwrap();
    let m = m.into_optimized().unwrap().into_runnable().unwrap();
    let x: Vec<f32> = (0..576).map(|i| (i as f32 * 0.7).sin()).collect();
    let x = Tensor::from_shape(&[1, 4, 12, 12], &x).unwrap();
    let out = m.run(tvec!(x.into())).unwrap();
    for o in out {
        println!("TRACT {:?} {:?}", o.shape(), o.to_plain_array_view::<f32>().unwrap().iter().take(8).collect::<Vec<_>>());
    }
}
