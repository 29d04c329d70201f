//! Pools that are made for a run and go with it. On a machine with pools of its own they are in files, under an altroot
//! and without a cache file; a pool that was there before is never touched, because making one under its name fails.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::Result;
use crate::shell::Shell;

/// Where a run's pools may live.
#[derive(Clone, Debug)]
pub struct Device {
    /// A disk, or a file that is made.
    pub path: String,
    /// The size of a file, in MB; nothing for a disk.
    pub megabytes: Option<u64>,
}

/// A pool, destroyed when dropped.
#[derive(Debug)]
pub struct Pool {
    name: String,
    shell: Rc<RefCell<Shell>>,
    device: Device,
}

impl Pool {
    /// Makes one. Nothing in it is mounted by itself.
    ///
    /// # Errors
    /// Where there is a pool of that name, or the device is in use.
    pub fn create(shell: &Rc<RefCell<Shell>>, name: &str, device: &Device) -> Result<Self> {
        let path = &device.path;
        let file = device.megabytes.map_or(String::new(), |size| format!("truncate -s {size}M {path}\n"));
        shell.borrow_mut().run(&format!(
            "{file}zpool create -o cachefile=none -R /run/{name} -O mountpoint=none -O compression=off -O atime=off {name} {path}"
        ))?;
        Ok(Self { name: name.to_string(), shell: Rc::clone(shell), device: device.clone() })
    }

    /// Its name, also the name of its root dataset.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Below which its datasets are mounted.
    pub fn altroot(&self) -> String {
        format!("/run/{}", self.name)
    }

    /// Runs a script on its machine.
    ///
    /// # Errors
    /// Where it fails.
    pub fn run(&self, script: &str) -> Result<String> {
        self.shell.borrow_mut().run(script)
    }

    /// Waits until everything is written and freed.
    ///
    /// # Errors
    /// Where the pool is gone.
    pub fn settle(&self) -> Result<()> {
        self.shell.borrow_mut().settle(&self.name)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let file = if self.device.megabytes.is_some() {
            format!("rm -f {}", self.device.path)
        } else {
            String::new()
        };
        let script =
            format!("zpool destroy -f {}\nrmdir /run/{} 2>/dev/null || true\n{file}", self.name, self.name);
        if let Err(error) = self.run(&script) {
            eprintln!("zfs-bench: the pool {} is left behind: {error}", self.name);
        }
    }
}
