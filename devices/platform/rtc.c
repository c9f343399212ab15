/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clock of a PC: an MC146818 (Motorola data sheet MC146818A), reduced to
 * what an honest clock without interrupts needs.
 *
 * The time is the host's, in UTC. Writes to the time registers are accepted and
 * ignored: the clock cannot be set, and a guest that tries reads the host's time
 * afterwards. Periodic, alarm and update interrupts do not exist: their enable
 * bits read back as 0. Register A never says "update in progress" (UIP), so that
 * no guest ever waits for the end of an update.
 *
 * UIP would be what protects a reader from a time that changes while it reads
 * register after register. Here, the seconds register and register A take a
 * sample of the clock, and the other time registers show that sample as long as
 * it is no older than a second.
 *
 * All other registers are RAM: 0x0e and up, the shutdown status 0x0f included.
 *
 * Lock: that of env.loop, held in every function here.
 */
#include "../types.h"

#include "hull/util.h"

enum {
	PORT_INDEX = 0, /* write-only; bit 7 masks the NMI on a PC, and is ignored */
	PORT_DATA = 1,

	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
	RTC_WEEKDAY = 0x06, /* 1: Sunday */
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0a,
	RTC_B = 0x0b,
	RTC_C = 0x0c,
	RTC_D = 0x0d,
	RTC_CENTURY = 0x32,
	RTC_SIZE = 0x80,

	A_VALUE = 0x26, /* UIP 0, 32.768 kHz time base, rate 6 */
	B_24H = 0x02,
	B_BINARY = 0x04,
	B_WRITABLE = 0x80 | B_BINARY | B_24H | 0x01, /* SET, DM, 24/12, DSE */
	C_VALUE = 0x00,                              /* no interrupt pending */
	D_VALID = 0x80,                              /* VRT: time and RAM are valid */
	HOUR_PM = 0x80,
};

struct rtc_state {
	uint8_t index;
	uint8_t ram[RTC_SIZE]; /* register B lives at its place; the other clock registers' places are unused
				*/
};

static const struct state_field rtc_fields[] = {
	STATE_FIELD(struct rtc_state, STATE_U8, 1, 1, index, RTC_SIZE - 1, 0),
	STATE_FIELD(struct rtc_state, STATE_BYTES, 2, 1, ram, 0, 0),
};

static const struct state_table rtc_table = {
	.name = "rtc",
	.version = 1,
	.count = ARRAY_SIZE(rtc_fields),
	.fields = rtc_fields,
	.size = sizeof(struct rtc_state),
};

struct rtc {
	struct device_env env;
	struct rtc_state st;
	uint64_t sample; /* seconds since the epoch that the time registers show */
};

struct civil {
	unsigned second, minute, hour; /* from 0 */
	unsigned day, month;           /* from 1 */
	unsigned year;
	unsigned weekday; /* 1: Sunday */
};

/*
 * Seconds since the epoch to date and time, UTC. Not gmtime_r(): it may open the
 * time zone's file, and devices run where no file can be opened. Years are
 * counted from a March, so that the leap day is the last of its year, in eras of
 * 400 years of 146,097 days.
 */
static struct civil civil_from_seconds(uint64_t s)
{
	uint64_t days = s / 86400 + 719468; /* since 0000-03-01 */
	unsigned era = (unsigned)(days / 146097);
	unsigned doe = (unsigned)(days % 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153; /* months since March */
	struct civil c = {
		.second = (unsigned)(s % 60),
		.minute = (unsigned)(s / 60 % 60),
		.hour = (unsigned)(s / 3600 % 24),
		.day = doy - (153 * mp + 2) / 5 + 1,
		.month = mp < 10 ? mp + 3 : mp - 9,
		.year = yoe + era * 400 + (mp >= 10),
		.weekday = (unsigned)((s / 86400 + 4) % 7) + 1, /* 1970-01-01 was a Thursday */
	};

	return c;
}

static bool is_time_register(unsigned index)
{
	return index <= RTC_YEAR ? index != 1 && index != 3 && index != 5 : index == RTC_CENTURY;
}

/* The host's time, kept within the years that the registers can show. */
static uint64_t wall_clock(const struct rtc *rtc)
{
	const uint64_t max = 253402300799; /* the last second of the year 9999 */
	int64_t now = rtc->env.wall_clock ? rtc->env.wall_clock() : 0;

	return now < 0 ? 0 : min_u64((uint64_t)now, max);
}

static uint8_t encode(const struct rtc *rtc, unsigned v)
{
	if (rtc->st.ram[RTC_B] & B_BINARY)
		return (uint8_t)v;
	return (uint8_t)(v / 10 << 4 | v % 10);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	unsigned hour12 = hour % 12 ? hour % 12 : 12;

	if (rtc->st.ram[RTC_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, hour12) | (hour >= 12 ? HOUR_PM : 0);
}

static uint8_t read_time(struct rtc *rtc, unsigned index)
{
	struct civil c;
	uint64_t now = wall_clock(rtc);

	if (index == RTC_SECONDS || now < rtc->sample || now > rtc->sample + 1)
		rtc->sample = now;
	c = civil_from_seconds(rtc->sample);
	switch (index) {
	case RTC_SECONDS:
		return encode(rtc, c.second);
	case RTC_MINUTES:
		return encode(rtc, c.minute);
	case RTC_HOURS:
		return encode_hour(rtc, c.hour);
	case RTC_WEEKDAY:
		return encode(rtc, c.weekday);
	case RTC_DAY:
		return encode(rtc, c.day);
	case RTC_MONTH:
		return encode(rtc, c.month);
	case RTC_YEAR:
		return encode(rtc, c.year % 100);
	default:
		return encode(rtc, c.year / 100);
	}
}

static void rtc_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	struct rtc *rtc = dev;
	unsigned index = rtc->st.index;

	(void)len;
	if (off != PORT_DATA)
		return; /* the index cannot be read: all ones */
	switch (index) {
	case RTC_A:
		rtc->sample = wall_clock(rtc);
		*val = A_VALUE;
		break;
	case RTC_B:
		*val = rtc->st.ram[RTC_B] & B_WRITABLE;
		break;
	case RTC_C:
		*val = C_VALUE;
		break;
	case RTC_D:
		*val = D_VALID;
		break;
	default:
		*val = is_time_register(index) ? read_time(rtc, index) : rtc->st.ram[index];
		break;
	}
}

static void rtc_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct rtc *rtc = dev;
	unsigned index = rtc->st.index;

	(void)len;
	if (off == PORT_INDEX) {
		rtc->st.index = val & (RTC_SIZE - 1);
		return;
	}
	if (index == RTC_B)
		rtc->st.ram[index] = val & B_WRITABLE;
	else if (!is_time_register(index) && (index < RTC_A || index > RTC_D))
		rtc->st.ram[index] = (uint8_t)val;
}

static int rtc_init(void *dev, const struct device_env *env, struct err *err)
{
	struct rtc *rtc = dev;

	(void)err;
	rtc->env = *env;
	rtc->st.ram[RTC_B] = B_24H;
	return 0;
}

static const struct io_ops rtc_ops = {
	.read = rtc_read,
	.write = rtc_write,
	.widths = IO_WIDTH_1,
};

const struct device_type rtc_type = {
	.name = "rtc",
	.size = sizeof(struct rtc),
	.ops = {&rtc_ops},
	.init = rtc_init,
	.state = &rtc_table,
	.state_offset = offsetof(struct rtc, st),
};
