/* Where power management lies: the FADT tells the guest the same numbers. */
#ifndef ORRERY_DEVICES_PM_H
#define ORRERY_DEVICES_PM_H

enum {
    PM1_EVENT_PORT = 0x600,   /* status, enable: 16 bits each */
    PM1_CONTROL_PORT = 0x604, /* 16 bits */
    PM_TIMER_PORT = 0x608,    /* 32 bits */
    SLEEP_CONTROL_PORT = 0x60c,
    SLEEP_STATUS_PORT = 0x60d,
    RESET_PORT = 0xcf9,
    RESET_VALUE = 0x06,
    SCI_IRQ = 9,
    RTC_IRQ = 8,
    SLEEP_TYPE_S5 = 5, /* SLP_TYP of \_S5 */
};

#endif
