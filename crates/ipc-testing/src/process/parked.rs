//! Whether a process sleeps in the kernel, as `/proc` tells.

/// Waits until every thread of a process sleeps in the kernel, or the process has used 50 ms of
/// processor time meanwhile: whoever waits by looking never sleeps.
///
/// It makes a race likely to go the interesting way; correctness must not hang on it, since a thread
/// may sleep for another reason.
///
/// # Panics
///
/// If there is no such process.
pub fn wait_until_parked(pid: u32) {
    let cpu_ticks = || -> u64 { task_stats(pid).iter().map(|task| task.cpu_ticks).sum() };
    let start = cpu_ticks();
    // A tick is 10 ms (USER_HZ is 100 on every Linux that we run on).
    while cpu_ticks() - start < 5 && task_stats(pid).iter().any(|task| task.state == 'R') {
        std::thread::yield_now();
    }
}

struct TaskStat {
    state: char,
    cpu_ticks: u64,
}

/// State and used processor time of each thread, from `/proc/<pid>/task/*/stat` (proc_pid_stat(5)).
fn task_stats(pid: u32) -> Vec<TaskStat> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    // A thread may end between the listing and the reading.
    let stats =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            // The name, in parentheses, may itself hold parentheses and spaces.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
            Some(TaskStat {
                state: fields.first()?.chars().next()?,
                cpu_ticks: ticks(11)? + ticks(12)?, // utime and stime
            })
        })
        .collect()
}
