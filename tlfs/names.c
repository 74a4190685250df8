/* Names out of the tables. See names.h. */
#include "tlfs/names.h"

#include "tlfs/hypercall.h"
#include "tlfs/msr.h"

static const struct msr_row *row_of(uint32_t msr)
{
    for (size_t i = 0; i < hv_msr_row_count; i++) {
        if (hv_msr_rows[i].index == msr) {
            return &hv_msr_rows[i];
        }
    }
    return NULL;
}

const char *hv_msr_name(uint32_t msr)
{
    const struct msr_row *row = row_of(msr);
    return row != NULL ? row->name : NULL;
}

enum hv_feature hv_msr_feature(uint32_t msr)
{
    const struct msr_row *row = row_of(msr);
    return row != NULL ? row->gate : HV_FEATURES;
}

const char *hv_call_name(uint16_t code)
{
    for (size_t i = 0; i < hv_hypercall_row_count; i++) {
        if (hv_hypercall_rows[i].code == code) {
            return hv_hypercall_rows[i].name;
        }
    }
    return NULL;
}

const char *hv_status_name(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *name;
    } names[] = {
#define STATUS(name) {name, #name}
        STATUS(HV_STATUS_SUCCESS),
        STATUS(HV_STATUS_INVALID_HYPERCALL_CODE),
        STATUS(HV_STATUS_INVALID_HYPERCALL_INPUT),
        STATUS(HV_STATUS_INVALID_ALIGNMENT),
        STATUS(HV_STATUS_INVALID_PARAMETER),
        STATUS(HV_STATUS_ACCESS_DENIED),
        STATUS(HV_STATUS_INVALID_PARTITION_STATE),
        STATUS(HV_STATUS_OPERATION_DENIED),
        STATUS(HV_STATUS_INSUFFICIENT_MEMORY),
        STATUS(HV_STATUS_INVALID_PARTITION_ID),
        STATUS(HV_STATUS_INVALID_VP_INDEX),
        STATUS(HV_STATUS_INVALID_PORT_ID),
        STATUS(HV_STATUS_INVALID_CONNECTION_ID),
        STATUS(HV_STATUS_INSUFFICIENT_BUFFERS),
        STATUS(HV_STATUS_INVALID_VP_STATE),
        STATUS(HV_STATUS_INVALID_SYNIC_STATE),
        STATUS(HV_STATUS_NO_DATA),
        STATUS(HV_STATUS_INACTIVE),
        STATUS(HV_STATUS_NO_RESOURCES),
        STATUS(HV_STATUS_FEATURE_UNAVAILABLE),
        STATUS(HV_STATUS_INVALID_REGISTER_VALUE),
        STATUS(HV_STATUS_INVALID_VTL_STATE),
        STATUS(HV_STATUS_INVALID_DEVICE_ID),
#undef STATUS
    };
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (names[i].status == status) {
            return names[i].name;
        }
    }
    return NULL;
}
