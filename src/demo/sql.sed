# An SQL file as a C string constant, for the build.
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
1i extern const char demo_shop_sql[];\nconst char demo_shop_sql[] =
$a ;
