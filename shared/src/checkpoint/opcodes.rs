//! The instructions of the pickle language, protocols 0 to 5 (CPython's `Lib/pickletools.py` describes them).

use super::CheckpointError;
use super::pickle::Machine;
use super::value::{Object, Value, decimal, long};
use std::borrow::Cow;

/// Runs the next instruction; a value when it was the last one.
pub(super) fn step(machine: &mut Machine<'_, '_>) -> Result<Option<Value>, CheckpointError> {
    let opcode = machine.reader.byte()?;
    match opcode {
        b'.' => return machine.pop().map(Some),
        0x80 => match machine.reader.byte()? {
            0..=5 => {}
            protocol => machine.broken(format!("expected pickle protocol 0 to 5, found {protocol}"))?,
        },
        // The frame's length serves readers of streams.
        0x95 => drop(machine.reader.u64()?),
        b'(' => machine.mark(),
        b'0' => machine.pop_any()?,
        b'1' => drop(machine.pop_to_mark()?),
        b'2' => match machine.peek() {
            Some(top) => machine.push(top),
            None => machine.broken("expected a value on the stack")?,
        },
        // None, True, False.
        b'N' | 0x88 | 0x89 => machine.push(Value::Opaque),
        b'K' | b'M' | b'J' | b'I' | b'L' | 0x8a | 0x8b => number(machine, opcode)?,
        b'G' => {
            machine.reader.array::<8>()?;
            machine.push(Value::Opaque);
        }
        b'F' => {
            machine.reader.line()?;
            machine.push(Value::Opaque);
        }
        b'X' | 0x8c | 0x8d | b'V' | b'U' | b'T' | b'S' => text(machine, opcode)?,
        b'B' | b'C' | 0x8e | 0x96 => {
            let length = match opcode {
                b'B' => machine.reader.u32()?.into(),
                b'C' => machine.reader.byte()?.into(),
                _ => machine.reader.u64()?,
            };
            machine.reader.take(length, "a row of bytes")?;
            machine.push(Value::Opaque);
        }
        b')' | b']' => machine.push_object(Object::List(Vec::new())),
        b't' | b'l' => {
            let items = machine.pop_to_mark()?;
            machine.push_object(Object::List(items));
        }
        0x85..=0x87 => {
            let items = machine.pop_many(usize::from(opcode - 0x84))?;
            machine.push_object(Object::List(items));
        }
        b'}' => machine.push_object(Object::Dict(Vec::new())),
        b'd' => {
            let items = machine.pop_to_mark()?;
            machine.push_object(Object::Dict(Vec::new()));
            machine.set_items(&items)?;
        }
        // Sets hold no tensors.
        0x8f => machine.push(Value::Opaque),
        0x91 => {
            machine.pop_to_mark()?;
            machine.push(Value::Opaque);
        }
        0x90 => drop(machine.pop_to_mark()?),
        b'a' => {
            let item = machine.pop()?;
            machine.append(vec![item])?;
        }
        b'e' => {
            let items = machine.pop_to_mark()?;
            machine.append(items)?;
        }
        b's' => {
            let items = machine.pop_many(2)?;
            machine.set_items(&items)?;
        }
        b'u' => {
            let items = machine.pop_to_mark()?;
            machine.set_items(&items)?;
        }
        b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => memo(machine, opcode)?,
        b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'i' | b'o' | b'b' | b'Q' => calling(machine, opcode)?,
        _ => machine.broken(format!("expected an instruction that state dicts use, found {opcode:#04x}"))?,
    }
    Ok(None)
}

fn number(machine: &mut Machine<'_, '_>, opcode: u8) -> Result<(), CheckpointError> {
    let value = match opcode {
        b'K' => Value::Int(machine.reader.byte()?.into()),
        b'M' => Value::Int(u16::from_le_bytes(machine.reader.array()?).into()),
        b'J' => Value::Int(i32::from_le_bytes(machine.reader.array()?).into()),
        b'I' | b'L' => decimal(machine.reader.line()?),
        _ => {
            let length = if opcode == 0x8a { machine.reader.byte()?.into() } else { machine.reader.u32()?.into() };
            long(machine.reader.take(length, "a number")?)
        }
    };
    machine.push(value);
    Ok(())
}

fn text(machine: &mut Machine<'_, '_>, opcode: u8) -> Result<(), CheckpointError> {
    let bytes = match opcode {
        b'V' => machine.reader.line()?,
        b'S' => {
            let line = machine.reader.line()?;
            match line {
                [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
                _ => return machine.broken("expected a quoted string"),
            }
        }
        _ => {
            let length = match opcode {
                b'U' | 0x8c => machine.reader.byte()?.into(),
                0x8d => machine.reader.u64()?,
                _ => machine.reader.u32()?.into(),
            };
            machine.reader.take(length, "a text")?
        }
    };
    // Python 2 wrote bytes; names that are not ASCII match nothing anyway, so any replacement does. So do escapes.
    machine.push_object(Object::Text(match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }));
    Ok(())
}

fn memo(machine: &mut Machine<'_, '_>, opcode: u8) -> Result<(), CheckpointError> {
    let index = match opcode {
        b'q' | b'h' => machine.reader.byte()?.into(),
        b'r' | b'j' => machine.reader.u32()?,
        0x94 => machine.memo.len() as u32,
        _ => match decimal(machine.reader.line()?) {
            Value::Int(index) => index as u32,
            _ => return machine.broken("expected a number"),
        },
    };
    if matches!(opcode, b'h' | b'j' | b'g') {
        let Some(&value) = machine.memo.get(&index) else { return machine.broken(format!("expected a value in cell {index} of the memo")) };
        machine.push(value);
        return Ok(());
    }
    match machine.peek() {
        Some(value) => drop(machine.memo.insert(index, value)),
        None => machine.broken("expected a value on the stack")?,
    }
    Ok(())
}

/// Names, and everything that in Python would call one.
fn calling(machine: &mut Machine<'_, '_>, opcode: u8) -> Result<(), CheckpointError> {
    match opcode {
        b'c' => {
            let global = global_lines(machine)?;
            machine.push(global);
        }
        0x93 => {
            let name = machine.pop()?;
            let module = machine.pop()?;
            let (Some(module), Some(name)) = (machine.pickled.text(module), machine.pickled.text(name)) else {
                return machine.broken("expected the name of a class or function");
            };
            let (module, name) = (module.to_owned(), name.to_owned());
            let global = machine.global(&module, &name)?;
            machine.push(global);
        }
        b'R' | 0x81 => {
            let arguments = machine.pop()?;
            let callable = machine.pop()?;
            machine.call(callable, arguments)?;
        }
        0x92 => {
            machine.pop()?;
            let arguments = machine.pop()?;
            let callable = machine.pop()?;
            machine.call(callable, arguments)?;
        }
        b'i' => {
            let callable = global_lines(machine)?;
            let items = machine.pop_to_mark()?;
            call_with(machine, callable, items)?;
        }
        b'o' => {
            let mut items = machine.pop_to_mark()?;
            if items.is_empty() {
                return machine.broken("expected something to call");
            }
            let callable = items.remove(0);
            call_with(machine, callable, items)?;
        }
        // The state of an ordered dict or a parameter is Python attributes; the value itself is complete.
        b'b' => drop(machine.pop()?),
        _ => {
            let id = machine.pop()?;
            machine.persistent(id)?;
        }
    }
    Ok(())
}

fn call_with(machine: &mut Machine<'_, '_>, callable: Value, items: Vec<Value>) -> Result<(), CheckpointError> {
    machine.push_object(Object::List(items));
    let arguments = machine.pop()?;
    machine.call(callable, arguments)
}

fn global_lines(machine: &mut Machine<'_, '_>) -> Result<Value, CheckpointError> {
    let (module, name) = (machine.reader.line()?, machine.reader.line()?);
    let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
    machine.global(&module, &name)
}

/// Whether what follows a name makes an object of it: no arguments, `NEWOBJ`; perhaps a memo in between.
pub(super) fn makes_object(rest: &[u8]) -> bool {
    let rest = match rest {
        [b'q', _, rest @ ..] | [b'r', _, _, _, _, rest @ ..] | [0x94, rest @ ..] => rest,
        rest => rest,
    };
    rest.starts_with(b")\x81")
}
