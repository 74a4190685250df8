/* The host's end of the serial lines. */
#ifndef ORRERY_DEVICES_UART_H
#define ORRERY_DEVICES_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UARTS = 4, UART_QUEUE_BYTES = 4096 };

/* `device` holds all four. False, and nothing taken, when `bytes` do not fit the queue of `port` or there is no such port. */
bool uart_input(void *device, unsigned port, const uint8_t *bytes, size_t count);

#endif
