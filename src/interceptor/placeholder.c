/* interceptor */
typedef int placeholder_interceptor;
