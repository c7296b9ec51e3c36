/* model */
typedef int placeholder_model;
