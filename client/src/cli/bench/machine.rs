//! What a run was made on, and what it cost this process.

use std::{fs, thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The machine of the generator; the server's may be another.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    pub(super) os: String,
    pub(super) kernel: String,
    pub(super) architecture: String,
    /// The processor's name, where the system tells it.
    pub(super) cpu: Option<String>,
    pub(super) cpus: u64,
}

impl Machine {
    pub(super) fn this() -> Self {
        let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        Self {
            os: std::env::consts::OS.to_owned(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpu: fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(cpu_name),
            cpus,
        }
    }
}

fn cpu_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The CPU time of all threads of this process so far.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_name_is_read_where_there_is_one() {
        let told = "processor\t: 0\nmodel name\t: Some CPU @ 2.80GHz\nflags\t\t: a b\n";
        assert_eq!(cpu_name(told).as_deref(), Some("Some CPU @ 2.80GHz"));
        assert_eq!(cpu_name("Hardware : x"), None);
    }

    #[test]
    fn work_shows_in_the_cpu_time() {
        let before = cpu_time();
        while cpu_time() == before {
            std::hint::spin_loop();
        }
        assert!(cpu_time() > before);
    }
}
