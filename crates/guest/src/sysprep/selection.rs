//! Chooses operations: `--operations` and `--enable`.

use super::table::{OPERATIONS, SysprepOperation};
use crate::error::{Error, Result};
use crate::operation::Dialect;

/// The operations that are done unless told otherwise.
pub fn default_operations() -> Vec<&'static SysprepOperation> {
    OPERATIONS.iter().filter(|o| o.default).collect()
}

/// The operations of virt-sysprep that are done unless told otherwise.
pub fn tool_default_operations() -> Vec<&'static SysprepOperation> {
    OPERATIONS.iter().filter(|o| o.default && !o.extension).collect()
}

/// Reads a list like `defaults,-logfiles,user-account` from left to right: `defaults` and `all` add many, a minus takes away.
///
/// # Errors
/// [`Error::Usage`] for an unknown name.
pub fn select_operations(option: &str, list: &str) -> Result<Vec<&'static SysprepOperation>> {
    change_selection(option, list, Dialect::Disksmith, Vec::new())
}

/// The same as a change of what was chosen so far. To virt-sysprep `defaults` and `all` do not mean what it does not have.
///
/// # Errors
/// Those of [`select_operations`].
pub fn change_selection(
    option: &str,
    list: &str,
    dialect: Dialect,
    mut chosen: Vec<&'static SysprepOperation>,
) -> Result<Vec<&'static SysprepOperation>> {
    let is_meant = |o: &&SysprepOperation| dialect == Dialect::Disksmith || !o.extension;
    for item in list.split(',').map(str::trim).filter(|i| !i.is_empty()) {
        let (remove, name) = match item.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, item),
        };
        let named: Vec<&'static SysprepOperation> = match name {
            "defaults" => OPERATIONS.iter().filter(|o| o.default).filter(is_meant).collect(),
            "all" => OPERATIONS.iter().filter(is_meant).collect(),
            _ => match OPERATIONS.iter().find(|o| o.name == name) {
                Some(operation) => vec![operation],
                None => {
                    let reason = format!("there is no operation {name:?} (--list-operations shows them)");
                    return Err(Error::usage(option, reason));
                }
            },
        };
        chosen.retain(|o| !named.iter().any(|n| n.name == o.name));
        if !remove {
            chosen.extend(named);
        }
    }
    Ok(chosen)
}
