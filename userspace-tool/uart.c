// SPDX-License-Identifier: GPL-2.0
/*
 * A 16550A serial port.
 *
 * Sending takes no time: the transmitter is always empty, and its interrupt comes
 * again at once, so a driver's handler moves a whole buffer in one interrupt.
 * Receiving has a real FIFO with its trigger level; the time-out interrupt comes
 * at once instead of after four characters. Runs under the device lock.
 */
#include <string.h>

#include "devices.h"

#define IER_RX		0x01
#define IER_THRE	0x02
#define IER_LINE	0x04
#define IER_MODEM	0x08
#define IIR_NONE	0x01
#define IIR_THRE	0x02
#define IIR_RX		0x04
#define IIR_LINE	0x06
#define IIR_TIMEOUT	0x0c
#define IIR_FIFO	0xc0
#define FCR_ENABLE	0x01
#define FCR_CLEAR_RX	0x02
#define LCR_DLAB	0x80
#define MCR_OUT2	0x08
#define MCR_LOOP	0x10
#define LSR_DATA	0x01
#define LSR_OVERRUN	0x02
#define LSR_BREAK	0x10
#define LSR_EMPTY	0x60
#define LSR_ERRORS	(LSR_OVERRUN | LSR_BREAK)
#define MSR_LINES	0xb0	/* DCD, DSR, CTS: somebody is there */

static u8 msr_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_LINES;
	/* Loopback: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD. */
	return (u8)((u->mcr & 2) << 3 | (u->mcr & 1) << 5 | (u->mcr & 4) << 4 |
		    (u->mcr & 8) << 4);
}

static u8 cause(const struct uart *u)
{
	if (u->ier & IER_LINE && u->lsr & LSR_ERRORS)
		return IIR_LINE;
	if (u->ier & IER_RX && u->count)
		return u->fcr & FCR_ENABLE && u->count < u->trigger ? IIR_TIMEOUT : IIR_RX;
	if (u->ier & IER_THRE && u->iir_thre)
		return IIR_THRE;
	if (u->ier & IER_MODEM && u->msr_delta)
		return 0;
	return IIR_NONE;
}

static void update(struct uart *u)
{
	/* A PC gates the line with OUT2; loopback cuts it off. */
	bool level = cause(u) != IIR_NONE && u->mcr & MCR_OUT2 && !(u->mcr & MCR_LOOP);

	if (level != u->irq_level) {
		u->irq_level = level;
		irq_set(&u->irq, level);
	}
}

static void clear_rx(struct uart *u)
{
	u->head = 0;
	u->count = 0;
	u->lsr &= ~LSR_DATA;
}

/**
 * uart_init() - power-on state
 * @u: the UART
 * @irq: its interrupt line
 * @tx: takes what the guest sends
 * @rx_room: told when the guest has emptied the receive FIFO
 * @ctx: first argument of both
 */
void uart_init(struct uart *u, struct irq_out irq, void (*tx)(void *ctx, u8 byte),
	       void (*rx_room)(void *ctx), void *ctx)
{
	memset(u, 0, sizeof(*u));
	u->lsr = LSR_EMPTY;
	u->dll = 12;
	u->trigger = 1;
	u->iir_thre = 1;
	u->irq = irq;
	u->tx = tx;
	u->rx_room = rx_room;
	u->ctx = ctx;
}

/**
 * uart_room() - how many characters may be pushed now
 * @u: the UART
 *
 * Return: 0 to 16.
 */
unsigned int uart_room(const struct uart *u)
{
	unsigned int size = u->fcr & FCR_ENABLE ? UART_FIFO : 1;

	if (u->mcr & MCR_LOOP)
		return 0;
	return u->count < size ? size - u->count : 0;
}

static void receive(struct uart *u, u8 byte)
{
	unsigned int size = u->fcr & FCR_ENABLE ? UART_FIFO : 1;

	if (u->count >= size) {
		u->lsr |= LSR_OVERRUN;
		return;
	}
	u->fifo[(u->head + u->count++) % UART_FIFO] = byte;
	u->lsr |= LSR_DATA;
}

/**
 * uart_push() - a character arrives
 * @u: the UART
 * @byte: the character
 */
void uart_push(struct uart *u, u8 byte)
{
	receive(u, byte);
	update(u);
}

/**
 * uart_break() - a break arrives
 * @u: the UART
 */
void uart_break(struct uart *u)
{
	receive(u, 0);
	u->lsr |= LSR_BREAK;
	update(u);
}

static u8 read_data(struct uart *u)
{
	u8 byte = 0;

	if (u->count) {
		byte = u->fifo[u->head];
		u->head = (u->head + 1) % UART_FIFO;
		u->count--;
	}
	if (!u->count) {
		u->lsr &= ~LSR_DATA;
		update(u);
		if (u->rx_room)
			u->rx_room(u->ctx);
	}
	return byte;
}

static u8 read_iir(struct uart *u)
{
	u8 iir = cause(u);

	if (iir == IIR_THRE)
		u->iir_thre = 0;
	return iir | (u->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/**
 * uart_read() - a register
 * @dev: the UART
 * @off: 0 to 7
 * @size: 1
 *
 * Return: the byte.
 */
u64 uart_read(void *dev, u64 off, unsigned int size)
{
	struct uart *u = dev;
	u8 val = 0;

	(void)size;
	switch (off) {
	case 0:
		val = u->lcr & LCR_DLAB ? u->dll : read_data(u);
		break;
	case 1:
		val = u->lcr & LCR_DLAB ? u->dlm : u->ier;
		break;
	case 2:
		val = read_iir(u);
		break;
	case 3:
		val = u->lcr;
		break;
	case 4:
		val = u->mcr;
		break;
	case 5:
		val = u->lsr;
		u->lsr &= ~LSR_ERRORS;
		break;
	case 6:
		val = msr_lines(u) | u->msr_delta;
		u->msr_delta = 0;
		break;
	case 7:
		val = u->scr;
		break;
	}
	update(u);
	return val;
}

static void write_fcr(struct uart *u, u8 val)
{
	static const u8 triggers[] = { 1, 4, 8, 14 };

	if ((val ^ u->fcr) & FCR_ENABLE || val & FCR_CLEAR_RX)
		clear_rx(u);
	u->fcr = val & FCR_ENABLE ? val & 0xc9 : 0;
	u->trigger = val & FCR_ENABLE ? triggers[val >> 6] : 1;
}

static void send(struct uart *u, u8 byte)
{
	if (u->mcr & MCR_LOOP)
		receive(u, byte);
	else if (u->tx)
		u->tx(u->ctx, byte);
	u->iir_thre = 1;
}

static void write_mcr(struct uart *u, u8 val)
{
	u8 before = msr_lines(u), after;

	u->mcr = val & 0x1f;
	after = msr_lines(u);
	u->msr_delta |= (before ^ after) >> 4 & 0x0b;
	if (before & 0x40 && !(after & 0x40))
		u->msr_delta |= 0x04;
}

/**
 * uart_write() - a register
 * @dev: the UART
 * @off: 0 to 7
 * @size: 1
 * @val: the byte
 */
void uart_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct uart *u = dev;
	u8 byte = (u8)val;

	(void)size;
	switch (off) {
	case 0:
		if (u->lcr & LCR_DLAB)
			u->dll = byte;
		else
			send(u, byte);
		break;
	case 1:
		if (u->lcr & LCR_DLAB) {
			u->dlm = byte;
			break;
		}
		/* Enabling it with the transmitter empty interrupts at once. */
		if (byte & ~u->ier & IER_THRE)
			u->iir_thre = 1;
		u->ier = byte & 0x0f;
		break;
	case 2:
		write_fcr(u, byte);
		break;
	case 3:
		u->lcr = byte;
		break;
	case 4:
		write_mcr(u, byte);
		break;
	case 7:
		u->scr = byte;
		break;
	}
	update(u);
	/* The FIFO may have been emptied, or its interrupt enabled only now. */
	if (u->ier & IER_RX && !u->count && u->rx_room)
		u->rx_room(u->ctx);
}
