/* Entry: picks the command. */
#include <stdio.h>

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("trunkline %s\n", TRUNKLINE_VERSION);
    return 0;
}
