/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of CPU features, as Linux shows them in /proc/cpuinfo. Intel SDM vol. 2A, CPUID; AMD APM vol. 3,
 * appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst. Bits of leaf 0xD are those of XCR0 and IA32_XSS.
 */
#include "hull/util.h"
#include "x86_64/cpuid_model.h"

enum { BITS = 32 };

static const char *const leaf1_ecx[BITS] = {
	[0] = "sse3",    [1] = "pclmulqdq", [2] = "dtes64",
	[3] = "monitor", [4] = "ds_cpl",    [5] = "vmx",
	[6] = "smx",     [7] = "est",       [8] = "tm2",
	[9] = "ssse3",   [12] = "fma",      [13] = "cx16",
	[15] = "pdcm",   [17] = "pcid",     [18] = "dca",
	[19] = "sse4_1", [20] = "sse4_2",   [21] = "x2apic",
	[22] = "movbe",  [23] = "popcnt",   [24] = "tsc_deadline_timer",
	[25] = "aes",    [26] = "xsave",    [28] = "avx",
	[29] = "f16c",   [30] = "rdrand",   [31] = "hypervisor",
};

static const char *const leaf1_edx[BITS] = {
	[0] = "fpu",      [1] = "vme",  [2] = "de",    [3] = "pse",  [4] = "tsc",    [5] = "msr",
	[6] = "pae",      [7] = "mce",  [8] = "cx8",   [9] = "apic", [11] = "sep",   [12] = "mtrr",
	[13] = "pge",     [14] = "mca", [15] = "cmov", [16] = "pat", [17] = "pse36", [18] = "pn",
	[19] = "clflush", [21] = "dts", [22] = "acpi", [23] = "mmx", [24] = "fxsr",  [25] = "sse",
	[26] = "sse2",    [27] = "ss",  [28] = "ht",   [29] = "tm",  [31] = "pbe",
};

static const char *const leaf7_ebx[BITS] = {
	[0] = "fsgsbase",    [1] = "tsc_adjust", [2] = "sgx",       [3] = "bmi1",      [4] = "hle",
	[5] = "avx2",        [7] = "smep",       [8] = "bmi2",      [9] = "erms",      [10] = "invpcid",
	[11] = "rtm",        [12] = "cqm",       [14] = "mpx",      [15] = "rdt_a",    [16] = "avx512f",
	[17] = "avx512dq",   [18] = "rdseed",    [19] = "adx",      [20] = "smap",     [21] = "avx512ifma",
	[23] = "clflushopt", [24] = "clwb",      [25] = "intel_pt", [26] = "avx512pf", [27] = "avx512er",
	[28] = "avx512cd",   [29] = "sha_ni",    [30] = "avx512bw", [31] = "avx512vl",
};

static const char *const leaf7_ecx[BITS] = {
	[1] = "avx512vbmi",
	[2] = "umip",
	[3] = "pku",
	[5] = "waitpkg",
	[6] = "avx512_vbmi2",
	[7] = "shstk",
	[8] = "gfni",
	[9] = "vaes",
	[10] = "vpclmulqdq",
	[11] = "avx512_vnni",
	[12] = "avx512_bitalg",
	[13] = "tme",
	[14] = "avx512_vpopcntdq",
	[16] = "la57",
	[22] = "rdpid",
	[24] = "bus_lock_detect",
	[25] = "cldemote",
	[27] = "movdiri",
	[28] = "movdir64b",
	[29] = "enqcmd",
	[30] = "sgx_lc",
	[31] = "pks",
};

static const char *const leaf7_edx[BITS] = {
	[2] = "avx512_4vnniw",
	[3] = "avx512_4fmaps",
	[4] = "fsrm",
	[5] = "uintr",
	[8] = "avx512_vp2intersect",
	[10] = "md_clear",
	[11] = "rtm_always_abort",
	[14] = "serialize",
	[15] = "hybrid_cpu",
	[16] = "tsxldtrk",
	[18] = "pconfig",
	[19] = "arch_lbr",
	[20] = "ibt",
	[22] = "amx_bf16",
	[23] = "avx512_fp16",
	[24] = "amx_tile",
	[25] = "amx_int8",
	[26] = "spec_ctrl",
	[27] = "intel_stibp",
	[28] = "flush_l1d",
	[29] = "arch_capabilities",
	[30] = "core_capabilities",
	[31] = "spec_ctrl_ssbd",
};

static const char *const leaf7_1_eax[BITS] = {
	[0] = "sha512",      [1] = "sm3",       [2] = "sm4",       [4] = "avx_vnni",
	[5] = "avx512_bf16", [6] = "lass",      [7] = "cmpccxadd", [10] = "fzrm",
	[11] = "fsrs",       [12] = "fsrc",     [17] = "fred",     [18] = "lkgs",
	[19] = "wrmsrns",    [21] = "amx_fp16", [23] = "avx_ifma", [26] = "lam",
};

static const char *const leaf7_1_edx[BITS] = {
	[4] = "avx_vnni_int8",   [5] = "avx_ne_convert", [8] = "amx_complex",
	[10] = "avx_vnni_int16", [14] = "prefetchiti",
};

static const char *const leaf7_2_edx[BITS] = {
	[0] = "psfd",   [1] = "ipred_ctrl", [2] = "rrsba_ctrl",
	[3] = "ddpd_u", [4] = "bhi_ctrl",   [5] = "mcdt_no",
};

static const char *const leafd_1_eax[BITS] = {
	[0] = "xsaveopt", [1] = "xsavec", [2] = "xgetbv1", [3] = "xsaves", [4] = "xfd",
};

static const char *const leafd_0_eax[BITS] = {
	[0] = "xcr0.x87",    [1] = "xcr0.sse",       [2] = "xcr0.avx",        [3] = "xcr0.bndregs",
	[4] = "xcr0.bndcsr", [5] = "xcr0.opmask",    [6] = "xcr0.zmm_hi256",  [7] = "xcr0.hi16_zmm",
	[9] = "xcr0.pkru",   [17] = "xcr0.xtilecfg", [18] = "xcr0.xtiledata",
};

static const char *const leafd_1_ecx[BITS] = {
	[8] = "xss.pt",
	[10] = "xss.pasid",
	[11] = "xss.cet_u",
	[12] = "xss.cet_s",
};

static const char *const kvm_eax[BITS] = {
	[0] = "kvmclock",
	[1] = "kvm_nopiodelay",
	[2] = "kvm_mmu",
	[3] = "kvmclock2",
	[4] = "kvm_asyncpf",
	[5] = "kvm_steal_time",
	[6] = "kvm_pv_eoi",
	[7] = "kvm_pv_unhalt",
	[9] = "kvm_pv_tlb_flush",
	[10] = "kvm_asyncpf_vmexit",
	[11] = "kvm_pv_ipi",
	[12] = "kvm_poll_control",
	[13] = "kvm_pv_sched_yield",
	[14] = "kvm_asyncpf_int",
	[15] = "kvm_msi_ext_dest_id",
	[16] = "kvm_hc_map_gpa_range",
	[17] = "kvm_migration_control",
	[24] = "kvmclock_stable",
};

static const char *const ext1_ecx[BITS] = {
	[0] = "lahf_lm",       [1] = "cmp_legacy",  [2] = "svm",    [3] = "extapic",
	[4] = "cr8_legacy",    [5] = "abm",         [6] = "sse4a",  [7] = "misalignsse",
	[8] = "3dnowprefetch", [9] = "osvw",        [10] = "ibs",   [11] = "xop",
	[12] = "skinit",       [13] = "wdt",        [15] = "lwp",   [16] = "fma4",
	[17] = "tce",          [19] = "nodeid_msr", [21] = "tbm",   [22] = "topoext",
	[23] = "perfctr_core", [24] = "perfctr_nb", [26] = "bpext", [27] = "ptsc",
	[28] = "perfctr_llc",  [29] = "mwaitx",
};

static const char *const ext1_edx[BITS] = {
	[11] = "syscall", [19] = "mp",     [20] = "nx", [22] = "mmxext",   [25] = "fxsr_opt",
	[26] = "pdpe1gb", [27] = "rdtscp", [29] = "lm", [30] = "3dnowext", [31] = "3dnow",
};

static const char *const ext7_edx[BITS] = {
	[8] = "invtsc",
};

static const char *const ext8_ebx[BITS] = {
	[0] = "clzero",    [1] = "irperf",     [2] = "xsaveerptr",
	[4] = "rdpru",     [9] = "wbnoinvd",   [12] = "ibpb",
	[14] = "ibrs",     [15] = "stibp",     [17] = "stibp_always_on",
	[24] = "amd_ssbd", [25] = "virt_ssbd", [26] = "amd_ssb_no",
	[27] = "cppc",     [28] = "amd_psfd",  [29] = "btc_no",
	[30] = "ibpb_ret",
};

static const char *const ext21_eax[BITS] = {
	[0] = "no_nested_data_bp", [2] = "lfence_rdtsc",   [6] = "null_sel_clr_base",
	[8] = "autoibrs",          [9] = "no_smm_ctl_msr",
};

static const char *const unnamed[BITS] = {0};

static const struct cpuid_word words[] = {
	{1, 0, CPUID_ECX, UINT32_C(1) << 27, leaf1_ecx},
	{1, 0, CPUID_EDX, UINT32_C(1) << 9, leaf1_edx},
	{7, 0, CPUID_EBX, 0, leaf7_ebx},
	{7, 0, CPUID_ECX, UINT32_C(1) << 4, leaf7_ecx},
	{7, 0, CPUID_EDX, 0, leaf7_edx},
	{7, 1, CPUID_EAX, 0, leaf7_1_eax},
	{7, 1, CPUID_EBX, 0, unnamed},
	{7, 1, CPUID_ECX, 0, unnamed},
	{7, 1, CPUID_EDX, 0, leaf7_1_edx},
	{7, 2, CPUID_EDX, 0, leaf7_2_edx},
	{0xd, 1, CPUID_EAX, 0, leafd_1_eax},
	{0xd, 0, CPUID_EAX, 0, leafd_0_eax},
	{0xd, 0, CPUID_EDX, 0, unnamed},
	{0xd, 1, CPUID_ECX, 0, leafd_1_ecx},
	{0xd, 1, CPUID_EDX, 0, unnamed},
	{0x40000001, 0, CPUID_EAX, 0, kvm_eax},
	{0x80000001, 0, CPUID_ECX, 0, ext1_ecx},
	{0x80000001, 0, CPUID_EDX, UINT32_C(1) << 9, ext1_edx},
	{0x80000007, 0, CPUID_EDX, 0, ext7_edx},
	{0x80000008, 0, CPUID_EBX, 0, ext8_ebx},
	{0x80000021, 0, CPUID_EAX, 0, ext21_eax},
};

const struct cpuid_word *cpuid_words(unsigned *ret_count)
{
	*ret_count = ARRAY_SIZE(words);
	return words;
}
