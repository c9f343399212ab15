/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of a vCPU and of the interrupt controllers as declared state: KVM's own structures,
 * field by field (Linux Documentation/virt/kvm/api.rst), and what of them KVM leaves to us to check.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hull/util.h"
#include "x86_64/save.h"

#define ALL32 UINT32_MAX
#define ALL64 UINT64_MAX

struct section_name cpu_section(unsigned index, const char *what)
{
	struct section_name name;

	snprintf(name.text, sizeof(name.text), "cpu%u/%s", index, what);
	return name;
}

#define TABLE(name_, fields_, type_)                                                              \
	{                                                                                         \
		.name = (name_), .version = 1, .count = ARRAY_SIZE(fields_), .fields = (fields_), \
		.size = sizeof(type_)                                                             \
	}

#define REG(tag, member) STATE_FIELD(struct kvm_regs, STATE_U64, tag, 1, member, ALL64, 0)

static const struct state_field regs_fields[] = {
	REG(1, rax),  REG(2, rbx),  REG(3, rcx),  REG(4, rdx),  REG(5, rsi),  REG(6, rdi),
	REG(7, rsp),  REG(8, rbp),  REG(9, r8),   REG(10, r9),  REG(11, r10), REG(12, r11),
	REG(13, r12), REG(14, r13), REG(15, r14), REG(16, r15), REG(17, rip), REG(18, rflags),
};

const struct state_table regs_table = TABLE("x86-regs", regs_fields, struct kvm_regs);

#define SREG(kind, tag, member, max) STATE_FIELD(struct kvm_sregs2, kind, tag, 1, member, max, 0)

#define SEGMENT_FIELD(kind, tag_, segment, member, max_)                                    \
	{                                                                                   \
		.tag = (tag_), .since = 1, .type = (kind),                                  \
		.offset = (uint32_t)(offsetof(struct kvm_sregs2, segment) +                 \
				     offsetof(struct kvm_segment, member)),                 \
		.size = (uint32_t)sizeof(((struct kvm_segment *)0)->member), .max = (max_), \
		.name = #segment "." #member                                                \
	}

/* Twelve rows, tags from `tag`. */
#define SEGMENT(tag, segment)                                                       \
	SEGMENT_FIELD(STATE_U64, (tag), segment, base, ALL64),                      \
		SEGMENT_FIELD(STATE_U32, (tag) + 1, segment, limit, ALL32),         \
		SEGMENT_FIELD(STATE_U16, (tag) + 2, segment, selector, UINT16_MAX), \
		SEGMENT_FIELD(STATE_U8, (tag) + 3, segment, type, 15),              \
		SEGMENT_FIELD(STATE_U8, (tag) + 4, segment, present, 1),            \
		SEGMENT_FIELD(STATE_U8, (tag) + 5, segment, dpl, 3),                \
		SEGMENT_FIELD(STATE_U8, (tag) + 6, segment, db, 1),                 \
		SEGMENT_FIELD(STATE_U8, (tag) + 7, segment, s, 1),                  \
		SEGMENT_FIELD(STATE_U8, (tag) + 8, segment, l, 1),                  \
		SEGMENT_FIELD(STATE_U8, (tag) + 9, segment, g, 1),                  \
		SEGMENT_FIELD(STATE_U8, (tag) + 10, segment, avl, 1),               \
		SEGMENT_FIELD(STATE_U8, (tag) + 11, segment, unusable, 1)

static const struct state_field sregs_fields[] = {
	SEGMENT(1, cs),
	SEGMENT(21, ds),
	SEGMENT(41, es),
	SEGMENT(61, fs),
	SEGMENT(81, gs),
	SEGMENT(101, ss),
	SEGMENT(121, tr),
	SEGMENT(141, ldt),
	SREG(STATE_U64, 161, gdt.base, ALL64),
	SREG(STATE_U16, 162, gdt.limit, UINT16_MAX),
	SREG(STATE_U64, 163, idt.base, ALL64),
	SREG(STATE_U16, 164, idt.limit, UINT16_MAX),
	SREG(STATE_U64, 165, cr0, ALL64),
	SREG(STATE_U64, 166, cr2, ALL64),
	SREG(STATE_U64, 167, cr3, ALL64),
	SREG(STATE_U64, 168, cr4, ALL64),
	SREG(STATE_U64, 169, cr8, 15),
	SREG(STATE_U64, 170, efer, ALL64),
	SREG(STATE_U64, 171, apic_base, ALL64),
	SREG(STATE_U64, 172, flags, KVM_SREGS2_FLAGS_PDPTRS_VALID),
	SREG(STATE_BYTES, 173, pdptrs, 0),
};

const struct state_table sregs_table = TABLE("x86-sregs", sregs_fields, struct kvm_sregs2);

#define EVENT(kind, tag, member, max) STATE_FIELD(struct kvm_vcpu_events, kind, tag, 1, member, max, 0)

enum {
	EVENT_FLAGS = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		      KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM,
};

/* Payloads of exceptions and pending triple faults have to be asked for, which hull does not. */
static const struct state_field events_fields[] = {
	EVENT(STATE_U8, 1, exception.injected, 1),
	EVENT(STATE_U8, 2, exception.nr, 31),
	EVENT(STATE_U8, 3, exception.has_error_code, 1),
	EVENT(STATE_U8, 4, exception.pending, 1),
	EVENT(STATE_U32, 5, exception.error_code, ALL32),
	EVENT(STATE_U8, 6, interrupt.injected, 1),
	EVENT(STATE_U8, 7, interrupt.nr, UINT8_MAX),
	EVENT(STATE_U8, 8, interrupt.soft, 1),
	EVENT(STATE_U8, 9, interrupt.shadow, 3),
	EVENT(STATE_U8, 10, nmi.injected, 1),
	EVENT(STATE_U8, 11, nmi.pending, 2),
	EVENT(STATE_U8, 12, nmi.masked, 1),
	EVENT(STATE_U32, 13, sipi_vector, UINT8_MAX),
	EVENT(STATE_U32, 14, flags, EVENT_FLAGS),
	EVENT(STATE_U8, 15, smi.smm, 1),
	EVENT(STATE_U8, 16, smi.pending, 1),
	EVENT(STATE_U8, 17, smi.smm_inside_nmi, 1),
	EVENT(STATE_U8, 18, smi.latched_init, 1),
};

const struct state_table events_table = TABLE("x86-events", events_fields, struct kvm_vcpu_events);

#define DEBUG(kind, tag, member) STATE_FIELD(struct kvm_debugregs, kind, tag, 1, member, ALL64, 0)

static const struct state_field debug_fields[] = {
	DEBUG(STATE_BYTES, 1, db),
	DEBUG(STATE_U64, 2, dr6),
	DEBUG(STATE_U64, 3, dr7),
};

const struct state_table debug_table = TABLE("x86-debug", debug_fields, struct kvm_debugregs);

static const struct state_field lapic_fields[] = {
	STATE_FIELD(struct kvm_lapic_state, STATE_BYTES, 1, 1, regs, 0, 0),
};

const struct state_table lapic_table = TABLE("x86-lapic", lapic_fields, struct kvm_lapic_state);

static const struct state_field xsave_fields[] = {
	STATE_FIELD(struct xsave_state, STATE_U32, 1, 1, length, XSAVE_BYTES, 0),
	STATE_FIELD(struct xsave_state, STATE_BYTES, 2, 1, data, 0, 0),
};

const struct state_table xsave_table = TABLE("x86-xsave", xsave_fields, struct xsave_state);

static const struct state_field nested_fields[] = {
	STATE_FIELD(struct nested_state, STATE_U32, 1, 1, length, NESTED_BYTES, 0),
	STATE_FIELD(struct nested_state, STATE_BYTES, 2, 1, data, 0, 0),
};

const struct state_table nested_table = TABLE("x86-nested", nested_fields, struct nested_state);

static const struct state_field core_fields[] = {
	STATE_FIELD(struct core_state, STATE_U32, 1, 1, mp_state, KVM_MP_STATE_SIPI_RECEIVED, 0),
	STATE_FIELD(struct core_state, STATE_U8, 2, 1, has_xcr0, 1, 0),
	STATE_FIELD(struct core_state, STATE_U64, 3, 1, xcr0, ALL64, 0),
	STATE_FIELD(struct core_state, STATE_U8, 4, 1, has_ssp, 1, 0),
	STATE_FIELD(struct core_state, STATE_U64, 5, 1, ssp, ALL64, 0),
};

const struct state_table core_table = TABLE("x86-core", core_fields, struct core_state);

#define PIC(tag, member, max) STATE_FIELD(struct kvm_pic_state, STATE_U8, tag, 1, member, max, 0)

static const struct state_field pic_fields[] = {
	PIC(1, last_irr, 0xff),
	PIC(2, irr, 0xff),
	PIC(3, imr, 0xff),
	PIC(4, isr, 0xff),
	PIC(5, priority_add, 7),
	PIC(6, irq_base, 0xf8),
	PIC(7, read_reg_select, 1),
	PIC(8, poll, 1),
	PIC(9, special_mask, 1),
	PIC(10, init_state, 3),
	PIC(11, auto_eoi, 2), /* KVM keeps the bit at its place */
	PIC(12, rotate_on_auto_eoi, 1),
	PIC(13, special_fully_nested_mode, 1),
	PIC(14, init4, 1),
	PIC(15, elcr, 0xff),
};

const struct state_table pic_table = TABLE("x86-pic", pic_fields, struct kvm_pic_state);

#define IOAPIC(kind, tag, member, max) STATE_FIELD(struct kvm_ioapic_state, kind, tag, 1, member, max, 0)

static const struct state_field ioapic_fields[] = {
	IOAPIC(STATE_U64, 1, base_address, ALL32),
	IOAPIC(STATE_U32, 2, ioregsel, 0xff),
	IOAPIC(STATE_U32, 3, id, 0xf),
	IOAPIC(STATE_U32, 4, irr, (1 << KVM_IOAPIC_NUM_PINS) - 1),
	IOAPIC(STATE_BYTES, 5, redirtbl, 0),
};

const struct state_table ioapic_table = TABLE("x86-ioapic", ioapic_fields, struct kvm_ioapic_state);

/* ---- what no table can say ---- */

int xsave_check(struct xsave_state *state, struct err *err)
{
	if (state->length < XSAVE_LEAST || state->length > XSAVE_BYTES)
		return err_set(err, -EINVAL, "extended state of %u bytes", state->length);
	memset(state->data + state->length, 0, XSAVE_BYTES - state->length);
	return 0;
}

static struct kvm_nested_state nested_header(const struct nested_state *state)
{
	struct kvm_nested_state header;

	memcpy(&header, state->data, sizeof(header));
	return header;
}

/* KVM reads as many bytes as the header says. */
int nested_check(const struct nested_state *state, struct err *err)
{
	if (state->length == 0)
		return 0;
	if (state->length < sizeof(struct kvm_nested_state) || state->length > NESTED_BYTES ||
	    nested_header(state).size != state->length)
		return err_set(err, -EINVAL, "state of nested guests with an impossible length");
	return 0;
}

bool nested_is_empty(const struct nested_state *state)
{
	struct kvm_nested_state header;

	if (state->length == 0)
		return true;
	header = nested_header(state);
	if (header.size != sizeof(header))
		return false;
	if (header.format == KVM_STATE_NESTED_FORMAT_SVM)
		return header.flags == KVM_STATE_NESTED_GIF_SET;
	return header.flags == 0 && header.hdr.vmx.vmxon_pa == UINT64_MAX;
}
