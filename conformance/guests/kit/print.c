/* Text on COM1, and the way out by the debug-exit port.
 *
 * A UART that a virtual machine shows takes bytes as fast as they come, so nothing waits for it. A real one would lose some.
 */
#include "parts.h"

enum { COM1 = 0x3f8, PORT_EXIT = 0xf4 };

static void put(char *to, size_t size, size_t *n, char c)
{
    if (*n + 1 < size) {
        to[*n] = c;
    }
    (*n)++;
}

static void put_number(char *to, size_t size, size_t *n, uint64_t value, unsigned base, unsigned width, char fill, bool minus)
{
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    if (minus) {
        put(to, size, n, '-');
    }
    for (unsigned i = count; i < width; i++) {
        put(to, size, n, fill);
    }
    while (count != 0) {
        put(to, size, n, digits[--count]);
    }
}

int kit_format(char *to, size_t size, const char *format, va_list args)
{
    size_t n = 0;
    for (; *format != '\0'; format++) {
        if (*format != '%') {
            put(to, size, &n, *format);
            continue;
        }
        char fill = ' ';
        unsigned width = 0, longs = 0;
        format++;
        if (*format == '#') {
            format++;
        }
        if (*format == '0') {
            fill = '0';
        }
        for (; *format >= '0' && *format <= '9'; format++) {
            width = width * 10 + (unsigned)(*format - '0');
        }
        for (; *format == 'l' || *format == 'z'; format++) {
            longs++;
        }
        switch (*format) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s != '\0'; s++) {
                put(to, size, &n, *s);
            }
            break;
        case 'c':
            put(to, size, &n, (char)va_arg(args, int));
            break;
        case 'd': {
            int64_t v = longs != 0 ? va_arg(args, int64_t) : va_arg(args, int);
            put_number(to, size, &n, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, width, fill, v < 0);
            break;
        }
        case 'u':
            put_number(to, size, &n, longs != 0 ? va_arg(args, uint64_t) : va_arg(args, unsigned), 10, width, fill, false);
            break;
        case 'p':
        case 'x':
            put_number(to, size, &n, longs != 0 || *format == 'p' ? va_arg(args, uint64_t) : va_arg(args, unsigned), 16, width,
                       fill, false);
            break;
        default:
            put(to, size, &n, *format);
        }
    }
    if (size != 0) {
        to[n < size ? n : size - 1] = '\0';
    }
    return (int)n;
}

void print(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    size_t n = (size_t)kit_format(line, sizeof line, format, args);
    va_end(args);
    const char *at = line;
    n = n < sizeof line ? n : sizeof line - 1;
    __asm__ volatile("rep outsb" : "+S"(at), "+c"(n) : "d"((uint16_t)COM1) : "memory");
}

void kit_exit(unsigned code)
{
    out8(PORT_EXIT, (uint8_t)code);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

void kit_panic(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    kit_format(text, sizeof text, format, args);
    va_end(args);
    print("Bail out! %s\n", text);
    kit_exit(2);
}
