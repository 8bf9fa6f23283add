//! The system calls that a function may not make.
//!
//! A deny-list: programs of every kind run here, so what is refused is what no function needs and what has let
//! processes out of sandboxes before: new name spaces, mounts, tracing, kernel modules and keys, BPF, io_uring,
//! userfaultfd, and sockets of other families than the Internet's and Unix's. It is one wall of several: the function
//! also has no capability and no privileged file in sight.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::io;

/// Programs of the x32 interface have this bit in their call numbers, and would slip past a list without it.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Calls that are too new for the `libc` crate; their numbers are the same on every architecture.
const STATMOUNT: i64 = 457;
const LISTMOUNT: i64 = 458;
const OPEN_TREE_ATTR: i64 = 467;

const DENIED: &[i64] = &[
    // Name spaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    STATMOUNT,
    LISTMOUNT,
    OPEN_TREE_ATTR,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Looking into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Parts of the kernel with a record of holes.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_personality,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

const NAMESPACE_FLAGS: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The fourth argument of the one harmless call (`fadvise64`) by which what was forked from a template says
/// that it is ready to be moved. Nobody gives such advice.
pub(crate) const GATE: i32 = 0x6d66_6c79;

/// The compiled filters. Compiled once by the launcher, installed in every sandbox.
pub(crate) struct Filters {
    walls: Vec<BpfProgram>,
    /// For templates and what is forked from them: alike, but that [`GATE`] and changing the name space are
    /// for whoever traces the caller to decide. Nobody in a sandbox can trace, and without a tracer both
    /// fail.
    template: Vec<BpfProgram>,
}

impl Filters {
    pub(crate) fn compile() -> io::Result<Filters> {
        let refuse = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
        let mut rules = denied_rules().map_err(io::Error::other)?;
        let denied = filter(rules.clone(), refuse(libc::EPERM))?;
        // The filter cannot see the flags of clone3, which lie in memory. Told that it does not exist, the C
        // libraries use clone.
        let no_clone3 = filter(BTreeMap::from([(libc::SYS_clone3, vec![])]), refuse(libc::ENOSYS))?;
        rules.remove(&libc::SYS_setns);
        let rest = filter(rules, refuse(libc::EPERM))?;
        let traced = filter(traced_rules().map_err(io::Error::other)?, SeccompAction::Trace(0))?;
        Ok(Filters { walls: vec![denied, no_clone3.clone()], template: vec![rest, no_clone3, traced] })
    }

    /// Binds the calling thread and all that it will start; it cannot be undone. Also sets no-new-privileges.
    pub(crate) fn install(&self) -> io::Result<()> {
        apply(&self.walls)
    }

    /// The same for a template and all that is forked from it.
    pub(crate) fn install_in_template(&self) -> io::Result<()> {
        apply(&self.template)
    }
}

fn apply(programs: &[BpfProgram]) -> io::Result<()> {
    for program in programs {
        seccompiler::apply_filter(program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, matched: SeccompAction) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    SeccompFilter::new(rules, SeccompAction::Allow, matched, arch)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

fn denied_rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|call| (*call, vec![])).collect();
    rules.insert(libc::SYS_clone, clone_rules()?);
    rules.insert(libc::SYS_socket, socket_rules()?);
    #[cfg(target_arch = "x86_64")]
    {
        let twins: Vec<_> = rules.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
        rules.extend(twins);
        // Calls that x32 numbers anew, ptrace and kexec among them.
        rules.extend((512..=547).map(|call| (call | X32, vec![])));
    }
    Ok(rules)
}

/// What the tracer of a template is asked about.
fn traced_rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let gate = u64::from(GATE.unsigned_abs());
    let advice = SeccompCondition::new(3, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, gate)?;
    let gate = vec![SeccompRule::new(vec![advice])?];
    Ok(BTreeMap::from([(libc::SYS_setns, vec![]), (libc::SYS_fadvise64, gate)]))
}

/// Threads and plain children, but none in new name spaces.
fn clone_rules() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let with_flag = |flag: &libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        let set = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![set])
    };
    NAMESPACE_FLAGS.iter().map(with_flag).collect()
}

/// Unix and Internet sockets, and the one kind of netlink that lists network interfaces.
fn socket_rules() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let family = |op, family: libc::c_int| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, op, u64::from(family.unsigned_abs()))
    };
    let others = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let others = others.map(|one| family(SeccompCmpOp::Ne, one));
    let netlink = vec![
        family(SeccompCmpOp::Eq, libc::AF_NETLINK)?,
        SeccompCondition::new(
            2,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            u64::from(libc::NETLINK_ROUTE.unsigned_abs()),
        )?,
    ];
    Ok(vec![
        SeccompRule::new(others.into_iter().collect::<Result<Vec<_>, _>>()?)?,
        SeccompRule::new(netlink)?,
    ])
}
