/* Transforms the packet of argument 4 (hex) by mode 1, key 2 (text) and salt 3 (hex), and writes it in hex. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vos.h"

static size_t unhex(const char *text, uint8_t *out)
{
    size_t length = 0;
    for (unsigned byte; sscanf(text + 2 * length, "%2x", &byte) == 1; length++)
        out[length] = (uint8_t)byte;
    return length;
}

int main(int count, char **argument)
{
    static struct vos_transform how;
    static uint8_t packet[4096];
    if (count != 5 || strlen(argument[2]) > sizeof how.key || strlen(argument[4]) > 2 * sizeof packet)
        return 2;
    how.mode = (uint8_t)atoi(argument[1]);
    how.key_len = (uint16_t)strlen(argument[2]);
    memcpy(how.key, argument[2], how.key_len);
    unhex(argument[3], how.salt);
    size_t length = unhex(argument[4], packet);
    int result = vos_transform_packet(&how, packet, length);
    if (result) {
        fprintf(stderr, "error %d\n", -result);
        return 1;
    }
    for (size_t i = 0; i < length; i++)
        printf("%02x", packet[i]);
    return 0;
}
