/* A shared object that is no plugin. */
int grace_hooks(void);
int grace_hooks(void)
{
    return 0;
}
